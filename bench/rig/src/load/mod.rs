//! The load generator: requests over kept connections, in one of three ways, and what came of them.

pub mod connection;
pub mod events;
pub mod report;
pub mod tally;
pub mod ways;

use std::net::SocketAddr;

use clap::{Args, Parser};

use crate::body::{self, Size, Wire};
use crate::order::Order;

/// How many users the requests come from.
const USERS: usize = 64;

/// Send requests, and report as JSON what came of them and what the measured process spent
#[derive(Parser, Clone)]
pub struct Options {
    /// Address of what is measured
    #[arg(long)]
    pub address: SocketAddr,
    /// Path of the endpoint
    #[arg(long)]
    pub path: String,
    /// Key that is sent
    #[arg(long)]
    pub key: String,
    /// Shape of the requests
    #[arg(long)]
    pub wire: Wire,
    /// Size of the requests
    #[arg(long)]
    pub size: Size,
    /// Ask for a stream
    #[arg(long)]
    pub stream: bool,
    /// Pieces of text in an answer
    #[arg(long, default_value_t = 20)]
    pub deltas: usize,
    /// Microseconds between them; 0 sends the answer at once
    #[arg(long, default_value_t = 0)]
    pub delay_us: u64,
    /// Each piece tells when it left the backend
    #[arg(long)]
    pub stamped: bool,
    /// Which of the three ways to send
    #[command(flatten)]
    pub way: Way,
    /// Connections of a closed loop, or the most of an open one
    #[arg(long, default_value_t = 32)]
    pub connections: usize,
    /// Seconds that are counted
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
    /// Seconds before
    #[arg(long, default_value_t = 0.5)]
    pub warm_up: f64,
    /// Stop a closed loop after so many requests
    #[arg(long)]
    pub requests: Option<u64>,
    /// Streams opened in a second
    #[arg(long, default_value_t = 2000.0)]
    pub ramp: f64,
    /// Read so many bytes a second from each connection, through a small window
    #[arg(long)]
    pub read_rate: Option<u32>,
    /// Process to measure, with its children
    #[arg(long)]
    pub process: Option<u32>,
}

/// A closed loop unless one of these is chosen.
#[derive(Args, Clone, Copy)]
#[group(multiple = false)]
pub struct Way {
    /// Requests in a second, whatever the answers take; latencies count from the planned time
    #[arg(long)]
    pub rate: Option<f64>,
    /// Streams to open and keep open
    #[arg(long)]
    pub hold: Option<usize>,
}

impl Options {
    /// The requests to send in turn, heads included.
    pub fn requests(&self) -> Vec<Vec<u8>> {
        let order = Order { deltas: self.deltas, delay_us: self.delay_us, stamped: self.stamped };
        let accept = if self.stream { "text/event-stream" } else { "application/json" };
        let request = |user: usize| {
            let body =
                body::body(self.wire, self.size, self.stream, &format!("user-{user}"), order);
            let head = format!(
                "POST {} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\naccept: {accept}\r\nuser-agent: OpenAI/Python 2.8.0\r\nx-stainless-lang: python\r\nx-stainless-retry-count: 0\r\ncontent-length: {}\r\n\r\n",
                self.path,
                self.address,
                self.key,
                body.len(),
            );
            (head + &body).into_bytes()
        };
        (0..USERS.min(self.connections.max(1))).map(request).collect()
    }
}
