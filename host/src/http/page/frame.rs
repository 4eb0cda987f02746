//! What all pages have in common: who visits, the frame around a view, the page of an error.

use std::fmt;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::response::{Html, IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderValue, StatusCode, Uri, header};

use super::assets::{ICON, SCRIPT, STYLE};
use super::filters;
use crate::http::access::{Access, Admitted};
use crate::http::answers::Person;
use crate::http::error::ApiError;

/// A request of a person who was admitted.
#[derive(Clone, Debug)]
pub(super) struct Visit {
    admitted: Admitted,
    /// The token that the page's forms have to bring.
    token: String,
    /// The way from the page to `/`, as in `../`.
    root: String,
}

impl Visit {
    pub(super) fn new(access: &Access, uri: &Uri, admitted: Admitted) -> Self {
        Self {
            token: access.form_token(&admitted),
            root: root(uri),
            admitted,
        }
    }

    /// Returns who it is, for the log.
    pub(super) fn person(&self) -> &Person {
        &self.admitted.person
    }

    /// Returns whether a form is one that this person was shown.
    pub(super) fn is_own_form(&self, access: &Access, token: &str) -> bool {
        access.is_form_token(&self.admitted, token)
    }

    /// Returns all that a page shows of who visits.
    pub(super) fn identity(&self) -> impl fmt::Debug {
        let name = &self.admitted.person.name;
        (&self.token, name, self.admitted.has_session())
    }

    /// Returns the frame of a view.
    pub(super) fn frame(&self, title: impl Into<String>, tab: Tab) -> Frame {
        Frame {
            title: title.into(),
            tab,
            root: self.root.clone(),
            token: self.token.clone(),
            person: self.admitted.person.name.clone(),
            can_sign_out: self.admitted.has_session(),
            is_signed_in: true,
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let visit = parts.extensions.get::<Self>().cloned();
        visit.ok_or_else(|| {
            ApiError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "this view is not guarded",
            )
        })
    }
}

/// The part of the page that a view belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tab {
    Now,
    Deliveries,
    Handlers,
    Routes,
    Timeline,
    /// No link of the navigation leads to it.
    None,
}

/// The links of the navigation: the part, its path below `/`, its name.
const TABS: [(Tab, &str, &str); 5] = [
    (Tab::Now, "", "Now"),
    (Tab::Deliveries, "deliveries", "Deliveries"),
    (Tab::Handlers, "handlers", "Handlers"),
    (Tab::Routes, "routes", "Routes"),
    (Tab::Timeline, "timeline", "Timeline"),
];

/// A link of the navigation.
pub(super) struct Link {
    pub(super) path: &'static str,
    pub(super) name: &'static str,
    pub(super) is_current: bool,
}

/// What a view's template needs for what is around it.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// The heading, without the name of the product.
    pub(super) title: String,
    tab: Tab,
    /// Every link begins with it.
    pub(super) root: String,
    /// The value of the field `token` of every form.
    pub(super) token: String,
    pub(super) person: Option<String>,
    pub(super) can_sign_out: bool,
    pub(super) is_signed_in: bool,
}

impl Frame {
    /// Returns a frame for somebody who has not signed in.
    pub(super) fn for_anybody(title: impl Into<String>, uri: &Uri) -> Self {
        Self {
            title: title.into(),
            tab: Tab::None,
            root: root(uri),
            token: String::new(),
            person: None,
            can_sign_out: false,
            is_signed_in: false,
        }
    }

    /// Returns the links of the navigation.
    pub(super) fn tabs(&self) -> [Link; TABS.len()] {
        TABS.map(|(tab, path, name)| Link {
            path,
            name,
            is_current: tab == self.tab,
        })
    }

    pub(super) fn style(&self) -> &'static str {
        &STYLE.path
    }

    pub(super) fn script(&self) -> &'static str {
        &SCRIPT.path
    }

    pub(super) fn icon(&self) -> &'static str {
        &ICON.path
    }
}

/// Returns a view as a response.
///
/// # Errors
/// If the template cannot be written.
pub(super) fn show(view: &impl Template) -> Result<Response, ApiError> {
    let html = view.render().map_err(|error| {
        tracing::error!(%error, "a page cannot be written");
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "the page cannot be written: the log has the reason",
        )
    })?;
    Ok(Html(html).into_response())
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorView<'a> {
    frame: Frame,
    status: StatusCode,
    message: &'a str,
}

/// Returns the page of an error.
pub(super) fn error_page(
    visit: Option<Visit>,
    uri: &Uri,
    status: StatusCode,
    message: &str,
) -> Result<Response, ApiError> {
    let title = status.canonical_reason().unwrap_or("Error");
    let frame = match visit {
        Some(visit) => visit.frame(title, Tab::None),
        None => Frame::for_anybody(title, uri),
    };
    show(&ErrorView {
        frame,
        status,
        message,
    })
}

/// Returns the way from a page to `/`: relative, since a proxy may serve it below a path.
fn root(uri: &Uri) -> String {
    let depth = uri.path().matches('/').count();
    match depth {
        0 | 1 => "./".to_owned(),
        deeper => "../".repeat(deeper - 1),
    }
}

/// Leads a browser to another page, relative to the one that it has asked for.
pub(super) fn go_to(location: &str) -> Response {
    let location = HeaderValue::try_from(location).unwrap_or(HeaderValue::from_static("./"));
    (StatusCode::SEE_OTHER, [(header::LOCATION, location)]).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_the_start_is_relative() {
        for (path, way) in [
            ("/", "./"),
            ("/deliveries", "./"),
            ("/deliveries/x", "../"),
            ("/a/b/c?d=/e/f", "../../"),
        ] {
            assert_eq!(root(&Uri::from_static(path)), way, "{path}");
        }
    }
}
