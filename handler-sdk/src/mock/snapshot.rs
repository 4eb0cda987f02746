//! Snapshots of messages as people see them, kept in files.

use std::path::Path;
use std::{env, fs};

use serde_json::{Value, json};

use super::Host;

impl Host {
    /// Returns all messages and changes as a person sees them, in the order of the script: the text that notifications on a
    /// phone show, after `text:`, then the blocks, one line each.
    pub fn transcript(&self) -> String {
        let posts = self.posts();
        let number = |at| {
            posts
                .iter()
                .position(|post| post.at == at)
                .map_or(0, |index| index + 1)
        };
        let mut parts = Vec::new();
        for (index, post) in posts.iter().enumerate() {
            let thread = post
                .thread
                .clone()
                .map(|parent| format!(", in the thread of {}", number(parent)))
                .unwrap_or_default();
            let heading = format!("== message {} to {}{thread}", index + 1, post.channel);
            parts.push(part(&heading, &post.text, &post.visible()));
        }
        for update in self.updates() {
            let heading = format!("== message {} becomes", number(update.at.clone()));
            parts.push(part(&heading, &update.text, &update.visible()));
        }
        parts.join("\n")
    }

    /// Returns all messages, changes and reactions as they were sent to Slack, for a renderer: `posts` in order, with
    /// `channel`, `text`, `blocks` and `thread`; `updates` and `reactions`, each with its `message`. A message is named by
    /// its index among the posts.
    pub fn messages(&self) -> Value {
        let posts = self.posts();
        let index = |at| posts.iter().position(|post| post.at == at);
        let shown: Vec<_> = posts
            .iter()
            .map(|post| {
                json!({
                    "channel": post.channel,
                    "text": post.text,
                    "blocks": post.blocks,
                    "thread": post.thread.clone().and_then(index),
                })
            })
            .collect();
        let updates = self.updates().into_iter().map(|update| {
            json!({ "message": index(update.at), "text": update.text, "blocks": update.blocks })
        });
        let reactions = self
            .reactions()
            .into_iter()
            .map(|reaction| json!({ "message": index(reaction.at), "emoji": reaction.emoji }));
        json!({
            "posts": shown,
            "updates": updates.collect::<Vec<_>>(),
            "reactions": reactions.collect::<Vec<_>>(),
        })
    }
}

fn part(heading: &str, text: &str, visible: &str) -> String {
    let blocks = match visible {
        "" => String::new(),
        visible => format!("{visible}\n"),
    };
    format!("{heading}\ntext: {text}\n{blocks}")
}

/// Compares text with a file. If the variable `UPDATE_SNAPSHOTS` is set, writes the file instead.
///
/// ```no_run
/// # let host = handler_sdk::mock::Host::new();
/// let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/snapshots/firing.txt");
/// handler_sdk::mock::assert_snapshot(path, &host.transcript());
/// ```
///
/// # Panics
/// Panics if they differ, or if the file cannot be read or written.
#[track_caller]
pub fn assert_snapshot(path: impl AsRef<Path>, shown: &str) {
    let path = path.as_ref();
    if env::var_os("UPDATE_SNAPSHOTS").is_some() {
        let folder = path.parent().unwrap_or(path);
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, shown));
        return assert!(written.is_ok(), "{}: {written:?}", path.display());
    }
    let kept = fs::read_to_string(path).unwrap_or_default();
    assert!(
        kept == shown,
        "{} differs; if the new text is right, run with UPDATE_SNAPSHOTS=1\n--- kept\n{kept}\n--- shown\n{shown}",
        path.display()
    );
}
