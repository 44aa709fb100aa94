//! The body of an answer, as it comes over its connection.

use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::Frame;
use hyper::rt::{Read, ReadBuf};

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
    /// A body of which `first` has come already, as it stands on the wire.
    pub(super) fn begin(
        connection: Box<Connection>,
        framing: Framing,
        home: Option<Home>,
        first: &[u8],
    ) -> Self {
        let connection = Some(connection);
        let mut body = Self { connection, framing, home, first: Bytes::new(), broken: None };
        body.first = body.decode(first);
        body
    }

    /// What of `input` is body. At the end of it the connection goes home; where it breaks off,
    /// what came before counts.
    fn decode(&mut self, input: &[u8]) -> Bytes {
        let mut data = BytesMut::with_capacity(input.len());
        match self.framing.read(input, &mut data) {
            // A server that says more than it should is not asked again.
            Ok(own) if self.framing.is_done() => self.close(own == input.len()),
            Ok(_) => {}
            Err(error) => {
                self.close(false);
                self.broken = Some(error);
            }
        }
        data.freeze()
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
            let data = self.decode(read);
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
