//! The endpoints of `/api/v1` and the reload: each takes a request apart and returns an answer as JSON.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Path, Query, RawQuery, State};
use serde::Deserialize;

use crate::api;
use crate::http::answers::{self, Answers, Over, Person};
use crate::http::error::ApiError;
use crate::queue::Force;

/// `GET /api/v1/deliveries`.
pub(super) async fn deliveries(
    State(answers): State<Arc<Answers>>,
    RawQuery(query): RawQuery,
) -> Result<Json<api::Deliveries>, ApiError> {
    let query = query.as_deref().unwrap_or_default();
    answers.list(query).await.map(Json)
}

/// `GET /api/v1/deliveries/{id}`.
pub(super) async fn story(
    State(answers): State<Arc<Answers>>,
    Path(id): Path<String>,
) -> Result<Json<api::Story>, ApiError> {
    answers.story(answers::parse_id(&id)?).await.map(Json)
}

/// `GET /api/v1/deliveries/{id}/related`.
pub(super) async fn related(
    State(answers): State<Arc<Answers>>,
    Path(id): Path<String>,
) -> Result<Json<api::Related>, ApiError> {
    let story = answers.story(answers::parse_id(&id)?).await?;
    answers.related(&story).await.map(Json)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RetryQuery {
    force: Option<bool>,
}

/// `POST /api/v1/deliveries/{id}/retry`.
pub(super) async fn retry(
    State(answers): State<Arc<Answers>>,
    Extension(person): Extension<Person>,
    Path(id): Path<String>,
    query: Result<Query<RetryQuery>, QueryRejection>,
) -> Result<Json<api::SentAgain>, ApiError> {
    let query = query.map_err(|error| answers::bad(error.body_text()))?;
    let force = match query.force {
        Some(true) => Force::Yes,
        _ => Force::No,
    };
    let id = answers::parse_id(&id)?;
    answers.retry(&person, id, force).await.map(Json)
}

/// `POST /api/v1/deliveries/retry`.
pub(super) async fn retry_all(
    State(answers): State<Arc<Answers>>,
    Extension(person): Extension<Person>,
    RawQuery(query): RawQuery,
) -> Result<Json<api::Retried>, ApiError> {
    let query = query.as_deref().unwrap_or_default();
    let (selection, after) = answers::parse_retry_query(query)?;
    answers.retry_all(&person, selection, after).await.map(Json)
}

/// `POST /api/v1/deliveries/{id}/cancel`.
pub(super) async fn cancel(
    State(answers): State<Arc<Answers>>,
    Extension(person): Extension<Person>,
    Path(id): Path<String>,
) -> Result<Json<api::Cancelled>, ApiError> {
    let id = answers::parse_id(&id)?;
    answers.cancel(&person, id).await.map(Json)
}

/// `GET /api/v1/now`.
pub(super) async fn now(State(answers): State<Arc<Answers>>) -> Result<Json<api::Now>, ApiError> {
    answers.now().await.map(Json)
}

/// `GET /api/v1/activity`.
pub(super) async fn activity(
    State(answers): State<Arc<Answers>>,
    RawQuery(query): RawQuery,
) -> Result<Json<api::Activity>, ApiError> {
    let over = Over::parse_query(query.as_deref().unwrap_or_default())?;
    answers.activity(over).await.map(Json)
}

/// `GET /api/v1/routes`.
pub(super) async fn routes(
    State(answers): State<Arc<Answers>>,
) -> Result<Json<api::Routes>, ApiError> {
    answers.routes().await.map(Json)
}

/// `GET /api/v1/timeline`.
pub(super) async fn timeline(
    State(answers): State<Arc<Answers>>,
    RawQuery(query): RawQuery,
) -> Result<Json<api::Timeline>, ApiError> {
    let query = query.as_deref().unwrap_or_default();
    answers.timeline(query).await.map(Json)
}

/// `GET /api/v1/handlers`.
pub(super) async fn handlers(State(answers): State<Arc<Answers>>) -> Json<api::Handlers> {
    Json(answers.handlers().await)
}

/// `GET /api/v1/handlers/{name}`.
pub(super) async fn handler(
    State(answers): State<Arc<Answers>>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<api::HandlerDetail>, ApiError> {
    let over = Over::parse_query(query.as_deref().unwrap_or_default())?;
    answers.handler(&name, over).await.map(Json)
}

/// `GET /api/v1/channels`.
pub(super) async fn channels(State(answers): State<Arc<Answers>>) -> Json<api::Channels> {
    Json(answers.channels().await)
}

/// `POST /-/reload`.
pub(super) async fn reload(
    State(answers): State<Arc<Answers>>,
    Extension(person): Extension<Person>,
) -> Result<Json<api::Reloaded>, ApiError> {
    answers.reload(&person).await.map(Json)
}
