//! The host's functions as the mock implements them. `tests/integration/conformance.rs` compares their results with those
//! of the real host.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;

use super::checks;
use super::replay::CallName;
use super::sent::{LogLine, Post, Reaction, Request, Update, Upload, checked_blocks};
use super::state::{State, Step};
use crate::Timestamp;
use crate::bindings::alert_manager::handler::{history, http, kv, log, slack, timer};
use crate::imports::HostFunctions;
use crate::slack::{FileRef, MessageRef, limits};

/// The mock host's functions for one step.
#[derive(Debug)]
pub(super) struct MockImports {
    state: Rc<RefCell<State>>,
    step: Step,
}

/// The result of a call that was not answered from the record.
struct Done<R> {
    answer: R,
    kept: Kept,
}

/// Whether a call is recorded.
enum Kept {
    /// A change that succeeded: recorded.
    Effect,
    /// A read, or a change that changed nothing: recorded together with the next effect.
    Read,
    /// A change that failed: not recorded, since a retry makes it again.
    Nothing,
}

impl MockImports {
    pub(super) fn new(state: Rc<RefCell<State>>, step: Step) -> Self {
        Self { state, step }
    }

    fn state(&self) -> RefMut<'_, State> {
        self.state.borrow_mut()
    }

    /// Answers a call from the record, or makes it and records the answer.
    fn call<R: Clone + 'static>(
        &self,
        name: CallName,
        live: impl FnOnce(&mut State) -> Done<R>,
    ) -> R {
        let mut state = self.state();
        if let Some(answer) = state.replay(self.step).answer(&name) {
            return answer;
        }
        let clock = state.clock(self.step);
        let Done { answer, kept } = live(&mut state);
        let is_effect = match kept {
            Kept::Effect => true,
            Kept::Read => false,
            Kept::Nothing => return answer,
        };
        let replay = state.replay(self.step);
        replay.keep(name, is_effect, answer.clone(), clock);
        answer
    }

    fn slack(
        &self,
        name: CallName,
        live: impl FnOnce(&mut State) -> Result<String, slack::Error>,
    ) -> Result<String, slack::Error> {
        let max = checks::SLACK_CALLS_MAX;
        if !self.state().counts.slack.take(max) {
            return Err(slack::Error::BudgetExhausted(used_up("slack_calls", max)));
        }
        if self.step == Step::Enrich {
            return Err(slack::Error::Denied(
                "Slack is denied during `enrich`".to_owned(),
            ));
        }
        self.call(name, |state| {
            let answer = live(state);
            let kept = match &answer {
                Ok(_) => Kept::Effect,
                Err(_) => Kept::Nothing,
            };
            Done { answer, kept }
        })
    }

    fn kv<R: Clone + 'static>(
        &self,
        key: &str,
        value: &[u8],
        name: String,
        live: impl FnOnce(&mut State) -> Result<(R, Kept), kv::Error>,
    ) -> Result<R, kv::Error> {
        let max = checks::KV_CALLS_MAX;
        if !self.state().counts.kv.take(max) {
            return Err(kv::Error::BudgetExhausted(used_up("kv_calls", max)));
        }
        for (bytes, max) in [
            (key.len(), checks::KV_KEY_BYTES_MAX),
            (value.len(), checks::KV_VALUE_BYTES_MAX),
        ] {
            if bytes > max as usize {
                return Err(kv::Error::TooLarge(max));
            }
        }
        self.call(CallName::of("kv", None, name), |state| {
            let done = match state.kv_errors.pop_front() {
                Some(error) => Err(error),
                None => live(state),
            };
            match done {
                Ok((answer, kept)) => Done {
                    answer: Ok(answer),
                    kept,
                },
                Err(error) => Done {
                    answer: Err(error),
                    kept: Kept::Nothing,
                },
            }
        })
    }
}

impl MockImports {
    fn timer(
        &self,
        key: &str,
        name: String,
        live: impl FnOnce(&mut State) -> Result<Kept, timer::Error>,
    ) -> Result<(), timer::Error> {
        let max = checks::TIMER_CALLS_MAX;
        if !self.state().counts.timer.take(max) {
            return Err(timer::Error::BudgetExhausted(used_up("timer_calls", max)));
        }
        if self.step == Step::Enrich {
            return Err(timer::Error::Denied(
                "timers are denied during `enrich`".to_owned(),
            ));
        }
        self.call(CallName::of("timer", None, name), |state| {
            let done = checks::timer_key(key).map_err(timer::Error::Invalid);
            let done = done.and_then(|()| match state.timer_errors.pop_front() {
                Some(error) => Err(error),
                None => live(state),
            });
            match done {
                Ok(kept) => Done {
                    answer: Ok(()),
                    kept,
                },
                Err(error) => Done {
                    answer: Err(error),
                    kept: Kept::Nothing,
                },
            }
        })
    }
}

impl HostFunctions for MockImports {
    fn http_send(&self, request: &http::Request) -> Result<http::Response, http::Error> {
        let max = checks::HTTP_CALLS_MAX;
        if !self.state().counts.http.take(max) {
            return Err(http::Error::BudgetExhausted(used_up("http_calls", max)));
        }
        let parts = (
            request.method,
            &request.url,
            &request.headers,
            &request.body,
            &request.credential,
        );
        let name = CallName::of("http", request.key.as_deref(), format!("{parts:?}"));
        let reads = matches!(request.method, http::Method::Get | http::Method::Head);
        self.call(name, |state| {
            state.requests.push(Request::of(request));
            let (answer, status) = state.reply_to(request);
            let kept = match status {
                _ if reads => Kept::Read,
                Some(200..400) => Kept::Effect,
                _ => Kept::Nothing,
            };
            Done { answer, kept }
        })
    }

    fn slack_post(&self, message: &slack::Message) -> Result<String, slack::Error> {
        let name = slack_name("post", "", message);
        self.slack(name, |state| {
            checks::key(message.key.as_deref()).map_err(slack::Error::Invalid)?;
            state.check_channel(&message.channel)?;
            if let Some(thread) = &message.thread {
                let channel = state.channel_of(thread)?;
                if channel.is_some_and(|channel| channel != message.channel) {
                    return Err(slack::Error::Invalid(format!(
                        "thread: that message is not in {}",
                        message.channel
                    )));
                }
            }
            state.next_slack_error(Some(&message.channel))?;
            let blocks = checked_blocks(message, limits::TEXT_CHARS_MAX);
            state.messages += 1;
            let at = MessageRef(format!("mock:{}:{}", message.channel, state.messages));
            state.posts.push(Post {
                at: at.clone(),
                channel: message.channel.clone(),
                text: message.text.clone(),
                blocks,
                thread: message.thread.clone().map(MessageRef),
                key: message.key.clone(),
            });
            Ok(at.0)
        })
    }

    fn slack_update(&self, at: &str, message: &slack::Message) -> Result<String, slack::Error> {
        // The channel and the thread are ignored, so they are not part of the call's name.
        let looked_at = slack::Message {
            channel: String::new(),
            thread: None,
            ..message.clone()
        };
        let name = slack_name("update", at, &looked_at);
        self.slack(name, |state| {
            checks::key(message.key.as_deref()).map_err(slack::Error::Invalid)?;
            let channel = state.channel_of(at)?;
            if let Some(channel) = &channel {
                state.check_channel(channel)?;
            }
            state.next_slack_error(channel.as_deref())?;
            let blocks = checked_blocks(message, limits::UPDATE_TEXT_CHARS_MAX);
            state.updates.push(Update {
                at: MessageRef(at.to_owned()),
                text: message.text.clone(),
                blocks,
            });
            Ok(at.to_owned())
        })
    }

    fn slack_react(&self, at: &str, emoji: &str) -> Result<(), slack::Error> {
        let name = CallName::of("slack", None, format!("react {at} {emoji}"));
        let answer = self.slack(name, |state| {
            let channel = state.channel_of(at)?;
            checks::emoji(emoji).map_err(slack::Error::Invalid)?;
            if let Some(channel) = channel {
                state.check_channel(&channel)?;
            }
            state.next_slack_error(None)?;
            state.reactions.push(Reaction {
                at: MessageRef(at.to_owned()),
                emoji: emoji.to_owned(),
            });
            Ok(String::new())
        });
        answer.map(|_| ())
    }

    fn slack_upload(&self, file: &slack::File) -> Result<String, slack::Error> {
        let parts = (
            "upload",
            &file.name,
            &file.title,
            &file.media_type,
            &file.data,
        );
        let name = CallName::of("slack", file.key.as_deref(), format!("{parts:?}"));
        self.slack(name, |state| {
            checks::key(file.key.as_deref()).map_err(slack::Error::Invalid)?;
            state.next_slack_error(None)?;
            if !state.are_uploads_allowed {
                let why = "this server cannot upload files to Slack yet";
                return Err(slack::Error::Unavailable(why.to_owned()));
            }
            let at = format!("mock:file:{}", state.uploads.len() + 1);
            state.uploads.push(Upload {
                at: FileRef(at.clone()),
                name: file.name.clone(),
                title: file.title.clone(),
                media_type: file.media_type.clone(),
                data: file.data.clone(),
            });
            Ok(at)
        })
    }

    fn kv_get(&self, key: &str) -> Result<Option<Vec<u8>>, kv::Error> {
        self.kv(key, &[], format!("get {key:?}"), |state| {
            Ok((state.kv_live(key), Kept::Read))
        })
    }

    fn kv_set(&self, key: &str, value: &[u8], ttl_seconds: Option<u32>) -> Result<(), kv::Error> {
        let name = format!("set {key:?} {value:?} {ttl_seconds:?}");
        self.kv(key, value, name, |state| {
            state.kv_put_within(key, value, ttl_seconds)?;
            Ok(((), Kept::Effect))
        })
    }

    fn kv_set_if_absent(
        &self,
        key: &str,
        value: &[u8],
        ttl_seconds: Option<u32>,
    ) -> Result<bool, kv::Error> {
        let name = format!("set-if-absent {key:?} {value:?} {ttl_seconds:?}");
        self.kv(key, value, name, |state| {
            if state.kv_live(key).is_some() {
                return Ok((false, Kept::Read));
            }
            state.kv_put_within(key, value, ttl_seconds)?;
            Ok((true, Kept::Effect))
        })
    }

    fn kv_increment(&self, key: &str, by: i32, ttl_seconds: Option<u32>) -> Result<i64, kv::Error> {
        let name = format!("increment {key:?} {by} {ttl_seconds:?}");
        self.kv(key, &[], name, |state| {
            let number = match state.kv_live(key).map(String::from_utf8) {
                None => Some(0),
                Some(text) => text.ok().and_then(|text| text.trim().parse::<i64>().ok()),
            };
            let Some(number) = number else {
                return Err(kv::Error::Unavailable(format!(
                    "the value of {key} is not a number: remove it, or use another key"
                )));
            };
            let sum = number.saturating_add(by.into());
            state.kv_put_within(key, sum.to_string().as_bytes(), ttl_seconds)?;
            Ok((sum, Kept::Effect))
        })
    }

    fn kv_remove(&self, key: &str) -> Result<(), kv::Error> {
        self.kv(key, &[], format!("remove {key:?}"), |state| {
            let kept = match state.kv_live(key) {
                Some(_) => Kept::Effect,
                None => Kept::Read,
            };
            state.kv.remove(key);
            Ok(((), kept))
        })
    }

    fn history_earlier(
        &self,
        same: &[String],
        within_seconds: u32,
    ) -> Result<history::Past, history::Error> {
        let max = checks::HISTORY_CALLS_MAX;
        if !self.state().counts.history.take(max) {
            return Err(history::Error::BudgetExhausted(used_up(
                "history_calls",
                max,
            )));
        }
        let name = CallName::of("history", None, format!("{same:?} {within_seconds}"));
        self.call(name, |state| {
            let answer = match checks::earlier(same, within_seconds) {
                Err(why) => Err(history::Error::Invalid(why)),
                Ok(()) => match state.history_errors.pop_front() {
                    Some(error) => Err(error),
                    None => Ok(state.earlier(same, within_seconds)),
                },
            };
            let kept = Kept::Read;
            Done { answer, kept }
        })
    }

    fn timer_after(
        &self,
        key: &str,
        delay_seconds: u32,
        facts: &[(String, String)],
    ) -> Result<(), timer::Error> {
        let name = format!("after {key:?} {delay_seconds} {facts:?}");
        self.timer(key, name, |state| {
            checks::timer(delay_seconds, facts).map_err(timer::Error::Invalid)?;
            state.set_timer(key, delay_seconds, facts)?;
            Ok(Kept::Effect)
        })
    }

    fn timer_cancel(&self, key: &str) -> Result<(), timer::Error> {
        self.timer(key, format!("cancel {key:?}"), |state| {
            Ok(match state.cancel_timer(key) {
                true => Kept::Effect,
                false => Kept::Read,
            })
        })
    }

    fn config_get(&self, key: &str) -> Option<String> {
        if let Some(declared) = &self.state().declared {
            declared.check(key);
        }
        let name = CallName::of("config", None, key.to_owned());
        self.call(name, |state| Done {
            answer: state.config.get(key).cloned(),
            kept: Kept::Read,
        })
    }

    fn log_write(&self, level: log::Level, message: &str, fields: &[(String, String)]) {
        let mut state = self.state();
        if !state.counts.log.take(checks::LOG_LINES_MAX) {
            // The line is dropped, as on the real host.
            return;
        }
        state.logs.push(LogLine {
            level,
            message: message.to_owned(),
            fields: fields.to_vec(),
        });
    }

    fn now(&self) -> Timestamp {
        self.state().clock(self.step)
    }
}

fn slack_name(verb: &str, at: &str, message: &slack::Message) -> CallName {
    let parts = (
        verb,
        at,
        &message.channel,
        &message.text,
        &message.blocks,
        &message.thread,
    );
    CallName::of("slack", message.key.as_deref(), format!("{parts:?}"))
}

fn used_up(limit: &str, max: u32) -> String {
    format!("{limit}: all {max} calls of this step are used up")
}
