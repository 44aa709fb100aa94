//! What the backend still sends after its last event: nothing of interest, but a connection
//! serves again only once its body was read to the end.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt, Limited};

use crate::tasks::Tasks;

/// How much is read, in bytes, and for how long. A backend that goes on loses its connection.
const MOST: usize = 64 << 10;
const TIME: Duration = Duration::from_millis(250);

/// Reads `body` to its end without anybody waiting for it.
pub(super) fn read_off<B>(body: B, tasks: &Tasks)
where
    B: Body<Data = Bytes> + Unpin + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    let mut rest = Limited::new(body, MOST);
    // As a rule the end has come with the last event.
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        match Pin::new(&mut rest).poll_frame(&mut cx) {
            Poll::Ready(Some(Ok(_))) => {}
            Poll::Ready(Some(Err(_)) | None) => return,
            Poll::Pending => break,
        }
    }
    tasks.spawn(async move {
        let reading = async { while let Some(Ok(_)) = rest.frame().await {} };
        // Past the time the body is dropped, which closes the connection.
        let _ = tokio::time::timeout(TIME, reading).await;
    });
}
