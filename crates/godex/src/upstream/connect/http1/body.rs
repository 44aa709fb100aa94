//! The body of an answer, as it comes over its connection.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Frame;
use hyper::rt::{Read, ReadBuf};

use super::framing::After;
use super::{Connection, Error, Framing, Home, PIECE};

/// What is left of an answer.
pub(crate) struct Body {
    /// Gone once the end has been read, or it broke.
    connection: Option<Box<Connection>>,
    framing: Framing,
    /// Where the connection goes afterwards; nowhere if it must be closed.
    home: Option<Home>,
    /// What came with the head.
    first: Bytes,
    /// What is wrong with what follows.
    broken: Option<Error>,
}

impl Body {
    /// A body of which a first piece has come already.
    pub(super) fn begin(
        connection: Box<Connection>,
        framing: Framing,
        home: Option<Home>,
        (first, after): (Bytes, After),
    ) -> Self {
        let connection = Some(connection);
        let mut body = Self { connection, framing, home, first, broken: None };
        body.settle(after);
        body
    }

    /// At the end of a body the connection goes home; where it breaks off, what came before counts.
    fn settle(&mut self, after: After) {
        match after {
            After::More => {}
            // A server that says more than it should is not asked again.
            After::End { clean } => self.close(clean),
            After::Broken(error) => {
                self.close(false);
                self.broken = Some(error);
            }
        }
    }

    fn close(&mut self, reusable: bool) {
        if let (Some(connection), Some(home)) = (self.connection.take(), self.home.take())
            && reusable
            && connection.is_free()
        {
            home.welcome(connection);
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Error>>> {
        if !self.first.is_empty() {
            return Poll::Ready(Some(Ok(std::mem::take(&mut self.first))));
        }
        loop {
            let Some(connection) = &mut self.connection else {
                return Poll::Ready(self.broken.take().map(Err));
            };
            // A server may answer before it has all of the request. If it wants no more of it, the
            // answer is valid all the same.
            connection.send_on(cx);
            let mut room = [MaybeUninit::uninit(); PIECE];
            let mut buffer = ReadBuf::uninit(&mut room);
            ready!(Pin::new(&mut connection.stream).poll_read(cx, buffer.unfilled()))?;
            let read = buffer.filled();
            if read.is_empty() {
                self.connection = None;
                let whole = self.framing.may_close();
                return Poll::Ready((!whole).then_some(Err(Error::Closed)));
            }
            let (data, after) = self.framing.decode(read);
            self.settle(after);
            if !data.is_empty() {
                return Poll::Ready(Some(Ok(data)));
            }
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let data = ready!(self.poll_data(cx));
        if let Some(Err(_)) = data {
            self.connection = None;
        }
        Poll::Ready(data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.connection.is_none() && self.first.is_empty() && self.broken.is_none()
    }
}
