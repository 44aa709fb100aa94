//! The body of an answer, whatever version of HTTP it comes by.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame};

use super::{http1, http2};

/// The body. Dropping it before its end cancels the request.
pub(crate) enum AnswerBody {
    /// Over a connection of its own.
    Http1(http1::Body),
    /// Over a connection that others use at the same time.
    Http2(http2::Answer),
}

/// Why a body has no end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// Of a connection of its own.
    #[error(transparent)]
    Http1(#[from] http1::Error),
    /// Of a connection that others use at the same time.
    #[error(transparent)]
    Http2(#[from] hyper::Error),
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Http1(body) => {
                Pin::new(body).poll_frame(cx).map(|it| it.map(|it| it.map_err(Into::into)))
            }
            Self::Http2(body) => {
                Pin::new(body).poll_frame(cx).map(|it| it.map(|it| it.map_err(Into::into)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Http1(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
        }
    }
}
