//! One connection: sends a request, reads its answer.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::events::Events;
use super::tally::Tally;
use crate::clock;
use crate::http1::{Head, Malformed, Piece};

/// The window of a client that reads slowly.
const SLOW_WINDOW: u32 = 16 << 10;
/// How often it reads.
const SLOW_READS: u32 = 10;

/// Why an exchange failed.
#[derive(Debug)]
pub enum Failure {
    /// The connection broke.
    Io(io::Error),
    /// The answer is no HTTP.
    Malformed(Malformed),
    /// The answer has another status than 200.
    Status(u16, String),
    /// The answer ended before its end.
    CutOff,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A kept connection.
pub struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    read_rate: Option<u32>,
}

impl Connection {
    /// Connects; with a rate, reads no faster than that many bytes a second.
    ///
    /// # Errors
    /// When nobody listens.
    pub async fn open(address: SocketAddr, read_rate: Option<u32>) -> Result<Self, Failure> {
        let socket = TcpSocket::new_v4()?;
        if read_rate.is_some() {
            socket.set_recv_buffer_size(SLOW_WINDOW)?;
        }
        let stream = socket.connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: BytesMut::new(), read_rate })
    }

    /// Sends a request and reads its answer to the end; says whether the connection lives on.
    ///
    /// # Errors
    /// When no whole answer came.
    pub async fn exchange(
        &mut self,
        request: &[u8],
        planned_ns: u64,
        tally: &RefCell<Tally>,
    ) -> Result<bool, Failure> {
        self.stream.write_all(request).await?;
        let mut head = loop {
            if let Some(head) = Head::of_answer(&mut self.buffer).map_err(Failure::Malformed)? {
                break head;
            }
            self.read().await?;
        };
        let (mut events, mut begun) = (Events::default(), false);
        loop {
            let now = clock::now_ns();
            loop {
                match head.body.take(&mut self.buffer).map_err(Failure::Malformed)? {
                    Piece::Data(data) => {
                        if !begun {
                            begun = true;
                            tally.borrow_mut().began(planned_ns, now);
                        }
                        tally.borrow_mut().brought(&events.take(&data), now);
                    }
                    Piece::More => break,
                    Piece::End if head.status != 200 => {
                        return Err(Failure::Status(head.status, events.rest()));
                    }
                    Piece::End if !events.complete() => return Err(Failure::CutOff),
                    Piece::End => {
                        tally.borrow_mut().finished(planned_ns);
                        return Ok(!head.close);
                    }
                }
            }
            self.read().await?;
        }
    }

    async fn read(&mut self) -> Result<(), Failure> {
        let read = if let Some(rate) = self.read_rate {
            tokio::time::sleep(Duration::from_secs(1) / SLOW_READS).await;
            let mut piece = vec![0; usize::try_from(rate / SLOW_READS).unwrap_or(1)];
            let read = self.stream.read(&mut piece).await?;
            self.buffer.extend_from_slice(piece.get(..read).unwrap_or_default());
            read
        } else {
            self.buffer.reserve(16 << 10);
            self.stream.read_buf(&mut self.buffer).await?
        };
        if read == 0 { Err(Failure::CutOff) } else { Ok(()) }
    }
}
