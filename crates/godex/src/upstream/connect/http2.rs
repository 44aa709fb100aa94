//! Connections to servers that speak HTTP/2 (RFC 9113), each of which carries many requests at a
//! time: which of them takes the next one, and when another is opened.
//!
//! The frames are hyper's. Ours is the choice: a request never waits behind the answers of others
//! because its connection is full, and however many come at once, one of them connects.

mod heard;
mod line;

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldhash::HashMap;
use tokio::sync::OnceCell;

use self::line::Line;
pub(crate) use self::line::{Answer, Unanswered};
pub(super) use self::line::{Place, Taken};
use super::ConnectError;
use super::connector::Stream;
use super::http1;
use super::pool::{Home, Origin, Pool};

/// How many connections in turn may be closed before the server has greeted: while it restarts,
/// whoever stands in front of it accepts what nobody serves.
const FAREWELLS: u32 = 3;

/// The servers reached over TLS, and what is known of them. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Lines(Arc<Mutex<HashMap<Origin, Server>>>);

#[derive(Default)]
struct Server {
    /// The last connection to it has shown that it speaks HTTP/1.1.
    speaks_http1: bool,
    /// Its connections, the oldest first.
    open: Vec<Arc<Line>>,
    /// The connection that is being opened. Everybody who waits for it hears what became of it.
    opening: Option<Arc<Opening>>,
}

type Opening = OnceCell<Result<Option<Arc<Line>>, Arc<ConnectError>>>;

impl Lines {
    fn lock(&self) -> MutexGuard<'_, HashMap<Origin, Server>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a request to `origin`, on a connection that `connect` opens if none has one;
    /// `None` when the server speaks HTTP/1.1. Such a connection is put into `idle`.
    ///
    /// # Errors
    ///
    /// When there is no connection.
    pub(super) async fn place<F>(
        &self,
        origin: &Origin,
        idle: &Pool,
        connect: impl Fn() -> F,
    ) -> Result<Option<Place>, Arc<ConnectError>>
    where
        F: Future<Output = Result<Stream, ConnectError>>,
    {
        loop {
            let opening = {
                let mut servers = self.lock();
                let server = servers.entry(origin.clone()).or_default();
                if server.speaks_http1 {
                    return Ok(None);
                }
                if let Some(place) = server.open.iter().find_map(Line::place) {
                    return Ok(Some(place));
                }
                Arc::clone(server.opening.get_or_insert_default())
            };
            let opened = opening.get_or_init(|| self.open(origin, idle, &connect)).await;
            match opened {
                Ok(None) => return Ok(None),
                // When others have taken all its places, there is one more to open.
                Ok(Some(line)) => {
                    if let Some(place) = line.first_place() {
                        return Ok(Some(place));
                    }
                }
                Err(error) => return Err(Arc::clone(error)),
            }
        }
    }

    async fn open<F>(
        &self,
        origin: &Origin,
        idle: &Pool,
        connect: impl Fn() -> F,
    ) -> Result<Option<Arc<Line>>, Arc<ConnectError>>
    where
        F: Future<Output = Result<Stream, ConnectError>>,
    {
        let opened = async {
            let mut farewells = 0;
            let stream = loop {
                let stream = connect().await?;
                if !stream.speaks_h2() {
                    break stream;
                }
                match self.add(origin.clone(), stream).await {
                    Err(ConnectError::Unreachable(_)) if farewells < FAREWELLS => farewells += 1,
                    added => return added.map(Some),
                }
            };
            self.lock().entry(origin.clone()).or_default().speaks_http1 = true;
            Home::new(idle.clone(), origin.clone()).welcome(http1::Connection::new(stream));
            Ok(None)
        };
        let opened = opened.await;
        self.lock().entry(origin.clone()).or_default().opening = None;
        opened.map_err(Arc::new)
    }

    /// Takes in a connection on which the server has chosen HTTP/2.
    ///
    /// # Errors
    ///
    /// When the server is gone already.
    pub(super) async fn add(
        &self,
        origin: Origin,
        stream: Stream,
    ) -> Result<Arc<Line>, ConnectError> {
        // Large, and rarely needed.
        let line = Box::pin(Line::open(stream, self.forgetting(origin.clone()))).await?;
        let mut servers = self.lock();
        let server = servers.entry(origin).or_default();
        server.speaks_http1 = false;
        // What has ended meanwhile would never be forgotten.
        if !line.is_retired() {
            server.open.push(Arc::clone(&line));
        }
        drop(servers);
        Ok(line)
    }

    /// All connections take no further request; each ends with those it carries.
    pub(super) fn retire(&self) {
        let open: Vec<_> = self.lock().values_mut().flat_map(|it| it.open.split_off(0)).collect();
        open.iter().for_each(Line::retire);
    }

    /// What a connection calls that takes no further request.
    fn forgetting(&self, origin: Origin) -> impl Fn(&Arc<Line>) + Send + Sync + 'static {
        let servers = Arc::downgrade(&self.0);
        move |line| {
            let Some(lines) = servers.upgrade().map(Lines) else { return };
            if let Some(server) = lines.lock().get_mut(&origin) {
                server.open.retain(|other| !Arc::ptr_eq(other, line));
            }
        }
    }
}

#[cfg(test)]
mod tests;
