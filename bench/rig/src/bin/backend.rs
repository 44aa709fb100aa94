//! `backend`: listens in the clear and, if asked to, in TLS, until it is ended.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::rc::Rc;

use clap::Parser;
use godex_rig::backend::{Backend, http1, http2, tls};
use godex_rig::process;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::TlsAcceptor;

/// Serve prepared answers as the Codex backend and as an OpenAI server
#[derive(Parser)]
struct Options {
    /// Address for HTTP/1 in the clear
    #[arg(long)]
    listen: SocketAddr,
    /// Address for HTTP/2 and HTTP/1 in TLS
    #[arg(long, requires = "certificate")]
    tls_listen: Option<SocketAddr>,
    /// File that gets the certificate to trust
    #[arg(long)]
    certificate: Option<PathBuf>,
}

fn main() -> Result<(), tls::Refused> {
    let options = Options::parse();
    process::raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, run(options))
}

async fn run(options: Options) -> Result<(), tls::Refused> {
    let backend = Rc::new(Backend::default());
    if let (Some(address), Some(file)) = (options.tls_listen, options.certificate) {
        let (acceptor, certificate) = tls::acceptor()?;
        let listener = listen(address)?;
        std::fs::write(file, certificate)?;
        spawn_local(secured(listener, acceptor, Rc::clone(&backend)));
    }
    let listener = listen(options.listen)?;
    loop {
        if let Some(stream) = accept(&listener).await {
            let backend = Rc::clone(&backend);
            // The other end counts what breaks.
            spawn_local(async move { http1::serve(&backend, stream).await });
        }
    }
}

async fn secured(listener: TcpListener, acceptor: TlsAcceptor, backend: Rc<Backend>) {
    loop {
        let Some(stream) = accept(&listener).await else { continue };
        let (acceptor, backend) = (acceptor.clone(), Rc::clone(&backend));
        spawn_local(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
                let _ = http2::serve(backend, stream).await;
            } else {
                let _ = http1::serve(&backend, stream).await;
            }
        });
    }
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(8192)
}

async fn accept(listener: &TcpListener) -> Option<TcpStream> {
    let (stream, _) = listener.accept().await.ok()?;
    stream.set_nodelay(true).ok()?;
    Some(stream)
}
