//! The body of a request: bounded in size and in time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::error::ApiError;

/// How long a client may pause while it sends.
const PAUSE: Duration = Duration::from_secs(30);

/// How much of a body nobody wants is taken off the connection, and for how long: a client
/// that is still sending would otherwise lose the answer to a reset.
const REST: usize = 64 << 20;
const REST_TIME: Duration = Duration::from_secs(1);

/// Takes what is left of a body off the connection, so that the answer arrives and the
/// connection can serve again; past the bounds it is closed.
pub(super) async fn discard(body: Incoming) {
    let mut rest = Limited::new(body, REST);
    let reading = async { while let Some(Ok(_)) = rest.frame().await {} };
    // Past the time the body is dropped, which closes the connection.
    let _ = tokio::time::timeout(REST_TIME, reading).await;
}

/// Reads the whole body.
///
/// # Errors
///
/// When it is too large, too slow, encoded, or the client goes away.
pub(super) async fn read(
    headers: &HeaderMap,
    body: &mut Incoming,
    limit: usize,
) -> Result<Bytes, ApiError> {
    if let Some(encoding) = headers.get(CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(ApiError::Encoding(String::from_utf8_lossy(encoding.as_bytes()).into_owned()));
    }
    let declared =
        headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > limit) {
        return Err(ApiError::TooLarge { limit });
    }
    let mut whole = BytesMut::new();
    loop {
        let frame =
            tokio::time::timeout(PAUSE, body.frame()).await.map_err(|_| ApiError::TooSlow)?;
        let Some(frame) = frame else { return Ok(whole.freeze()) };
        let Ok(data) = frame.map_err(|_| ApiError::ClientGone)?.into_data() else { continue };
        if whole.len() + data.len() > limit {
            return Err(ApiError::TooLarge { limit });
        }
        if whole.is_empty() && body.is_end_stream() {
            return Ok(data);
        }
        if whole.is_empty() {
            whole.reserve(declared.unwrap_or(data.len()).min(limit));
        }
        whole.extend_from_slice(&data);
    }
}
