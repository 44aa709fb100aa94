//! The port of this machine that the browser comes back to.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::auth::signin::{Attempt, Return};
use crate::tasks::Tasks;

/// The registered ports, in order. Source: `docs/wire.md#login`.
pub(super) const PORTS: [u16; 2] = [1455, 1457];

/// A port that waits for the browser, or none because others have them all.
pub(super) struct Callback {
    listener: Option<TcpListener>,
    port: u16,
}

impl Callback {
    /// Takes the first of `ports` that is free. Without one, what the browser brings back can
    /// still be pasted.
    pub(super) async fn listen(ports: &[u16]) -> Self {
        for port in ports {
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", *port)).await {
                let port = listener.local_addr().map_or(*port, |it| it.port());
                return Self { listener: Some(listener), port };
            }
        }
        Self { listener: None, port: ports.first().copied().unwrap_or_default() }
    }

    /// Where the browser is sent.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// Whether anybody listens there for us.
    pub(super) fn is_open(&self) -> bool {
        self.listener.is_some()
    }

    /// Answers visits and hands on what they bring, until the receiver is dropped.
    pub(super) fn serve(self, attempt: Arc<Attempt>, tasks: &Tasks) -> mpsc::Receiver<Return> {
        let (sender, returns) = mpsc::channel(1);
        if let Some(listener) = self.listener {
            let own = tasks.clone();
            tasks.spawn(async move {
                tokio::select! {
                    () = accept(listener, attempt, sender.clone(), own) => {}
                    () = sender.closed() => {}
                }
            });
        }
        returns
    }
}

async fn accept(
    listener: TcpListener,
    attempt: Arc<Attempt>,
    sender: mpsc::Sender<Return>,
    tasks: Tasks,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (attempt, sender) = (Arc::clone(&attempt), sender.clone());
        // Browsers open connections that they never use: none may keep another waiting.
        tasks.spawn(async move {
            let service = service_fn(|request| {
                let (attempt, sender) = (Arc::clone(&attempt), sender.clone());
                async move { Ok::<_, Infallible>(visit(&request, &attempt, &sender).await) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                // A browser that breaks off comes again.
                _ = connection => {}
                () = sender.closed() => {}
            }
        });
    }
}

async fn visit(
    request: &Request<Incoming>,
    attempt: &Attempt,
    sender: &mpsc::Sender<Return>,
) -> Response<Full<Bytes>> {
    if request.uri().path() != "/auth/callback" {
        return page(StatusCode::NOT_FOUND, "There is nothing here.");
    }
    let found = attempt.judge(request.uri().query().unwrap_or_default());
    let answer = match &found {
        Return::Code(_) => page(
            StatusCode::OK,
            "Thank you. You can close this page: godex goes on in the terminal.",
        ),
        Return::Denied(_) => {
            page(StatusCode::OK, "The sign-in was refused; the terminal says more.")
        }
        Return::Foreign => page(
            StatusCode::BAD_REQUEST,
            "This belongs to another sign-in (its state is not ours). Use the address that the \
             terminal shows now.",
        ),
        Return::Nothing => {
            return page(StatusCode::BAD_REQUEST, "This is not the end of a sign-in.");
        }
    };
    // Whoever waited may have got the code another way.
    let _ = sender.send(found).await;
    answer
}

fn page(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let page = format!(
        "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>godex</title>\
         <style>body{{font:1.1em system-ui;max-width:32em;margin:20vh auto;padding:0 1em}}</style>\
         </head><body><h1>godex</h1><p>{text}</p></body></html>\n"
    );
    let mut response = Response::new(Full::new(Bytes::from(page)));
    *response.status_mut() = status;
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CACHE_CONTROL, "no-store"),
        (CONNECTION, "close"),
    ] {
        response.headers_mut().insert(name, http::HeaderValue::from_static(value));
    }
    response
}

/// What somebody pasted: the whole address the browser ended at, or its query.
pub(super) fn query(pasted: &str) -> &str {
    let text = pasted.trim().trim_matches(['"', '\'']);
    let text = text.split_once('?').map_or(text, |(_, query)| query);
    text.split('#').next().unwrap_or_default()
}

/// Why no port is open, for the note that says so.
pub(super) fn taken() -> io::Error {
    io::ErrorKind::AddrInUse.into()
}
