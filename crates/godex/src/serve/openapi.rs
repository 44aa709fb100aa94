//! `GET /openapi.json`: the description of everything served here, for tools and for people.
//! `openapi.json` beside this file is written by hand; tests hold routes and answers against it.

use std::sync::LazyLock;

use bytes::Bytes;
use http::{Response, StatusCode};

use super::answer::{self, AnswerBody};

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| {
    include_str!("openapi.json").replace("@VERSION@", env!("CARGO_PKG_VERSION")).into()
});

/// The description. It says nothing that a key would have to protect.
pub(super) fn document() -> Response<AnswerBody> {
    answer::json(StatusCode::OK, DOCUMENT.clone())
}
