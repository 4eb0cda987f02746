//! The stylesheet, the script and the icon: part of the program, and kept by browsers for as long as they are the same.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use sha2::{Digest as _, Sha256};

use crate::http::error::ApiError;

/// How many hexadecimal digits of a file's digest are in its name.
const DIGEST_DIGITS: usize = 12;

/// A file, under a name that changes with its content.
pub(super) struct Asset {
    /// Its path below `/`.
    pub(super) path: String,
    kind: &'static str,
    text: &'static str,
}

pub(super) static STYLE: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("page", "css", "text/css", include_str!("assets/page.css")));

pub(super) static SCRIPT: LazyLock<Asset> = LazyLock::new(|| {
    let text = include_str!("assets/page.js");
    Asset::new("page", "js", "text/javascript", text)
});

pub(super) static ICON: LazyLock<Asset> = LazyLock::new(|| {
    Asset::new(
        "icon",
        "svg",
        "image/svg+xml",
        include_str!("assets/icon.svg"),
    )
});

impl Asset {
    fn new(stem: &str, extension: &str, kind: &'static str, text: &'static str) -> Self {
        let digest = Sha256::digest(text);
        let digits: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self {
            path: format!("assets/{stem}-{}.{extension}", &digits[..DIGEST_DIGITS]),
            kind,
            text,
        }
    }
}

/// Returns a file. Anybody may read it: it is the same in every installation.
pub(super) async fn file(Path(name): Path<String>) -> Result<Response, ApiError> {
    let all: [&Asset; 3] = [&STYLE, &SCRIPT, &ICON];
    let named = |asset: &&&Asset| asset.path.strip_prefix("assets/") == Some(name.as_str());
    let Some(asset) = all.iter().find(named) else {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            "there is no such file: load the page again, since this one is of another version of the server",
        ));
    };
    let headers = [
        (
            header::CONTENT_TYPE,
            format!("{}; charset=utf-8", asset.kind),
        ),
        (
            header::CACHE_CONTROL,
            "public, max-age=31536000, immutable".to_owned(),
        ),
    ];
    Ok((headers, asset.text).into_response())
}
