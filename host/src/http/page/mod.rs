//! The page: HTML from the server, for people.
//!
//! # How to add a view
//!
//! 1. Its data is a type of [`crate::api`], made by a function of `http/answers/`, which the API calls too. Nothing here asks the
//!    queue or the registry by itself.
//! 2. A file here has a struct with `#[derive(Template)]`, a field `frame: Frame` and the data, and an endpoint that returns
//!    [`show`](frame::show) of it. `channels.rs` would begin so:
//!
//!    ```ignore
//!    #[derive(Template)]
//!    #[template(path = "channels.html")]
//!    struct ChannelsView {
//!        frame: Frame,
//!        channels: api::Channels,
//!    }
//!
//!    pub(super) async fn view(State(answers): State<Arc<Answers>>, visit: Visit) -> Result<Response, ApiError> {
//!        show(&ChannelsView { frame: visit.frame("Channels", Tab::None), channels: answers.channels() })
//!    }
//!    ```
//! 3. `templates/channels.html` begins with `{% extends "frame.html" %}` and fills the block `main`. Links begin with
//!    `{{ frame.root }}`, since a proxy may serve the page below a path.
//! 4. The route is a line of [`endpoints`]; a link in the navigation is a line of `TABS` in `frame.rs`.
//!
//! What the layers below give every view: authorization and the check of origins ([`guard`]), the policy and the headers
//! ([`dress`]), and a page in place of an error: a view returns the [`ApiError`] that the API would answer.
//!
//! # Rules
//!
//! - Text that comes from outside is written by the filter `text`, which escapes it, isolates its direction, shows what is
//!   invisible and cuts it ([`filters`]). Askama escapes everything else.
//! - A view that changes something takes a [`form::Form`], which checks the form's token; so it is a `POST`. It says who has done
//!   it ([`Visit::person`]).
//! - No style and no script is in a page itself: the policy forbids both. A width is an attribute of SVG or a class.
//! - Everything works without the script. An element with an `id` and `data-live` is replaced by the script whenever something
//!   has changed.

mod actions;
mod assets;
mod chart;
mod deliveries;
mod delivery;
mod filters;
mod form;
mod frame;
mod handlers;
mod now;
mod query;
mod routes;
mod sign_in;
mod slack;
mod timeline;
mod waterfall;

use std::sync::Arc;

use axum::Router as Endpoints;
use axum::extract::{DefaultBodyLimit, FromRef, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, get, post};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};

use super::access::{Access, Cookies};
use super::answers::Answers;
use super::error::{Answered, ApiError};
use frame::Visit;

/// The largest form: a pasted group of alerts.
const FORM_BYTES_MAX: usize = 1 << 20;

/// What a browser may do with a page: load its stylesheet, its script and its icon, ask its server, post its forms.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// What views are made from.
#[derive(Clone)]
struct Page {
    answers: Arc<Answers>,
    access: Arc<Access>,
}

impl FromRef<Page> for Arc<Answers> {
    fn from_ref(page: &Page) -> Self {
        Self::clone(&page.answers)
    }
}

impl FromRef<Page> for Arc<Access> {
    fn from_ref(page: &Page) -> Self {
        Self::clone(&page.access)
    }
}

/// Returns the routes of the page.
pub(super) fn endpoints(answers: Arc<Answers>, access: Arc<Access>) -> Endpoints {
    let page = Page { answers, access };
    let views = Endpoints::new()
        .route("/", get(now::view))
        .route("/deliveries", get(deliveries::view))
        .route("/deliveries/preview", post(actions::preview))
        .route("/deliveries/apply", post(actions::apply))
        .route("/deliveries/{id}", get(delivery::view))
        .route("/handlers", get(handlers::list))
        .route("/handlers/{name}", get(handlers::view))
        .route("/routes", get(routes::view).post(routes::explain))
        .route("/timeline", get(timeline::view))
        .route("/timeline/{format}", get(timeline::export))
        .route("/sign-out", post(sign_in::sign_out))
        .route_layer(middleware::from_fn_with_state(page.clone(), guard));
    // Whoever signs in has nothing to prove yet.
    let sign_in = get(sign_in::form).post(sign_in::sign_in);
    let sign_in = sign_in.layer(middleware::from_fn_with_state(page.clone(), guard_sign_in));
    Endpoints::new()
        .route("/assets/{file}", get(assets::file))
        .route("/sign-in", sign_in)
        .merge(views)
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(middleware::from_fn_with_state(page.clone(), dress))
        .with_state(page)
}

/// Makes a page of the errors of an endpoint if a browser asks; other clients get them as they are.
pub(super) fn for_browsers(
    endpoint: MethodRouter,
    answers: &Arc<Answers>,
    access: &Arc<Access>,
) -> MethodRouter {
    let page = Page {
        answers: Arc::clone(answers),
        access: Arc::clone(access),
    };
    endpoint.layer(middleware::from_fn_with_state(page, dress_for_browsers))
}

async fn dress_for_browsers(page: State<Page>, request: Request, next: Next) -> Response {
    match is_for_browser(&request) {
        true => dress(page, request, next).await,
        false => next.run(request).await,
    }
}

fn is_for_browser(request: &Request) -> bool {
    let accepts = request.headers().get(header::ACCEPT);
    let accepts = accepts.and_then(|value| value.to_str().ok());
    accepts.is_some_and(|types| types.contains("text/html"))
}

/// Returns an error as a page if a browser asks, and as it is otherwise.
pub(super) fn error_for(
    request: &Request,
    error: ApiError,
    answers: &Arc<Answers>,
    access: &Arc<Access>,
) -> Response {
    let response = error.into_response();
    if !is_for_browser(request) {
        return response;
    }
    let page = Page {
        answers: Arc::clone(answers),
        access: Arc::clone(access),
    };
    dressed(&page, (request.method(), request.uri()), response)
}

/// Lets a request pass that proves itself; shows how to sign in to any other.
async fn guard(State(page): State<Page>, mut request: Request, next: Next) -> Response {
    match page.access.admit(Cookies::ReadAndChange, &request) {
        Ok(admitted) => {
            let visit = Visit::new(&page.access, request.uri(), admitted);
            request.extensions_mut().insert(visit.clone());
            let mut response = next.run(request).await;
            response.extensions_mut().insert(visit);
            response
        }
        Err(error) => error.into_response(),
    }
}

async fn guard_sign_in(State(page): State<Page>, request: Request, next: Next) -> Response {
    match page.access.admit_anybody(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

/// Gives every answer the headers of a page, and makes a page of an error.
async fn dress(State(page): State<Page>, request: Request, next: Next) -> Response {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let response = next.run(request).await;
    dressed(&page, (&method, &uri), response)
}

fn dressed(page: &Page, (method, uri): (&Method, &Uri), mut response: Response) -> Response {
    if let Some(Answered { message, .. }) = response.extensions().get::<Answered>() {
        let (status, message) = (response.status(), Arc::clone(message));
        let visit = response.extensions().get::<Visit>().cloned();
        let given = response.extensions().get::<sign_in::Given>();
        let instead = match (status, page.access.sign_in_by()) {
            (StatusCode::UNAUTHORIZED, Some(by)) => {
                sign_in::ask(by, (method, uri), given, &message)
            }
            _ => frame::error_page(visit, uri, status, &message),
        };
        response = replaced(response, instead);
    }
    harden(response.headers_mut());
    response
}

/// Puts a page in the place of an error, which keeps its status and what it says to the log.
fn replaced(error: Response, page: Result<Response, ApiError>) -> Response {
    let Ok(page) = page else { return error };
    let (mut parts, _) = error.into_parts();
    let (page_parts, body) = page.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(page_parts.headers);
    Response::from_parts(parts, body)
}

fn harden(headers: &mut HeaderMap) {
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    // The origin of a form would be hidden by a stricter one.
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("same-origin"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
}
