//! Files: a picture is uploaded first, and then shown by a message.

use super::{Error, Slack, wire};

/// A picture to show in a message.
#[derive(Debug, Clone)]
pub struct File {
    name: String,
    title: String,
    media_type: String,
    data: Vec<u8>,
    key: Option<String>,
}

/// A reference to an uploaded file. It is opaque; an image block shows the file by `"slack_file": {"id": FILE-REF}`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FileRef(pub(crate) String);

impl FileRef {
    /// Returns it as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl File {
    /// Returns a picture of the type `image/png`, `image/jpeg` or `image/gif`. `name` is the file's, with its extension; `title`
    /// is shown above the picture, and used as its alternative text.
    pub fn new(
        name: impl Into<String>,
        title: impl Into<String>,
        media_type: impl Into<String>,
        data: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            name: name.into(),
            title: title.into(),
            media_type: media_type.into(),
            data: data.into(),
            key: None,
        }
    }

    /// Sets a name for the effect, unique within this step. Needed only if the file can differ between attempts: a retry then
    /// finds by this name that it was uploaded already.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}

impl Slack<'_> {
    /// Uploads a picture without sharing it in a channel, and returns once Slack can show it. An effect.
    ///
    /// ```
    /// # use handler_sdk::prelude::*;
    /// # use handler_sdk::slack::File;
    /// # fn act(cx: &Cx, png: Vec<u8>) -> Result<(), Failure> {
    /// let graph = File::new("load.png", "the load of the last hour", "image/png", png);
    /// match cx.slack().upload(graph) {
    ///     Ok(file) => cx.log().info("uploaded", &[("file", &file.as_str())]),
    ///     Err(why) => cx.log().warn("the message goes without its picture", &[("why", &why)]),
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Unavailable`] if this server cannot upload files: post the message without the picture, since a retry does not
    /// help. A missing scope of the Slack app (`files:write`, `files:read`) concerns this call alone.
    pub fn upload(&self, file: File) -> Result<FileRef, Error> {
        let File {
            name,
            title,
            media_type,
            data,
            key,
        } = file;
        let file = wire::File {
            name,
            title,
            media_type,
            data,
            key,
        };
        Ok(FileRef(self.imports.slack_upload(&file)?))
    }
}
