//! A connection whose client must take what it is sent. One that takes nothing for too long is
//! given up: it would hold the backend's answer, and its share of the plan, for ever.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// A stream whose writes fail once none of them has made progress for a while. No timer runs
/// while the client keeps up.
pub(super) struct Unstalled<S> {
    stream: S,
    patience: Duration,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<S> Unstalled<S> {
    /// `stream`, whose client may stall for as long as `patience`.
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self { stream, patience, alarm: None }
    }

    fn watch<T>(
        &mut self,
        written: Poll<io::Result<T>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.alarm = None;
            return written;
        }
        let patience = self.patience;
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        alarm.as_mut().poll(cx).map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Unstalled<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Unstalled<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.watch(written, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, pieces);
        self.watch(written, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use tokio::time::Instant;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(120);
    const ROOM: usize = 16;

    fn pair() -> (Unstalled<DuplexStream>, DuplexStream) {
        let (stream, client) = tokio::io::duplex(ROOM);
        (Unstalled::new(stream, PATIENCE), client)
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_is_given_up() {
        let (mut stream, _client) = pair();
        stream.write_all(&[0; ROOM]).await.unwrap();
        assert!(stream.alarm.is_none(), "nothing is timed while writes succeed");
        let before = Instant::now();
        let error = stream.write_all(&[0; ROOM]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert!((PATIENCE..2 * PATIENCE).contains(&before.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_a_little_now_and_then_is_served() {
        let (mut stream, mut client) = pair();
        let before = Instant::now();
        let writing = async {
            stream.write_all(&[0; 4 * ROOM]).await.unwrap();
            drop(stream);
        };
        let reading = async {
            let mut piece = [0; ROOM / 2];
            while client.read(&mut piece).await.unwrap() > 0 {
                tokio::time::sleep(PATIENCE * 3 / 4).await;
            }
        };
        tokio::join!(writing, reading);
        assert!(before.elapsed() > 4 * PATIENCE);
    }

    #[tokio::test(start_paused = true)]
    async fn pieces_are_written_together_and_stall_together() {
        let (mut stream, _client) = pair();
        assert!(stream.is_write_vectored());
        let pieces = [IoSlice::new(&[0; ROOM / 2]), IoSlice::new(&[0; ROOM / 2])];
        assert_eq!(stream.write_vectored(&pieces).await.unwrap(), ROOM);
        let error = stream.write_vectored(&pieces).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
