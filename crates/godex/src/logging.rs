//! Where log lines go and how they look: standard error, for eyes on a terminal and as JSON
//! elsewhere.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast;
use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry;

use crate::config::{LogFormat, LogLevel, Logging, Surroundings};

/// The target of the line every request gets with `--log-requests`, at level `info`. It is
/// logged whatever the level of the rest.
pub(crate) const REQUESTS: &str = "godex::request";

/// The target of the line that says where the proxy listens, which takes the place of a text for
/// eyes. It is logged whatever the level of the rest.
pub(crate) const READY: &str = "godex::ready";

/// Sends the log lines of this process to standard error, and the last of them to whoever asks.
/// A second call changes nothing.
pub(crate) fn start(logging: Logging, surroundings: &Surroundings) -> Tail {
    let is_terminal = io::stderr().is_terminal();
    let colour = surroundings.colour(is_terminal);
    let tail = Tail::default();
    let subscriber = subscriber(logging, is_terminal, colour, tail.clone(), io::stderr);
    let _ = tracing::subscriber::set_global_default(subscriber);
    tail
}

/// How many lines are kept for whoever asks.
const KEPT: usize = 500;
/// How many lines somebody who follows may be behind.
const BEHIND: usize = 1000;

/// The last lines as JSON, and those to come. Clones share them.
#[derive(Clone)]
pub(crate) struct Tail {
    lines: Arc<Mutex<VecDeque<Arc<str>>>>,
    live: broadcast::Sender<Arc<str>>,
}

impl Default for Tail {
    fn default() -> Self {
        Self { lines: Arc::default(), live: broadcast::Sender::new(BEHIND) }
    }
}

impl Tail {
    /// The lines so far, and those that follow on them.
    pub(crate) fn kept(&self) -> (Vec<Arc<str>>, broadcast::Receiver<Arc<str>>) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        (lines.iter().cloned().collect(), self.live.subscribe())
    }

    /// Whether somebody reads along.
    pub(crate) fn is_followed(&self) -> bool {
        self.live.receiver_count() > 0
    }
}

/// One line on its way into a [`Tail`].
pub(crate) struct TailLine {
    tail: Tail,
    text: Vec<u8>,
}

impl Write for TailLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for TailLine {
    fn drop(&mut self) {
        let line: Arc<str> = String::from_utf8_lossy(&self.text).into();
        let mut lines = self.tail.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(Arc::clone(&line));
        // Inside of the lock, so that nobody who asks misses a line or gets one twice. Without
        // anybody who follows there is nobody to tell.
        let _ = self.tail.live.send(line);
    }
}

impl<'a> MakeWriter<'a> for Tail {
    type Writer = TailLine;

    fn make_writer(&'a self) -> TailLine {
        TailLine { tail: self.clone(), text: Vec::new() }
    }
}

/// What [`start`] installs, writing to `writer`.
fn subscriber<W>(
    logging: Logging,
    is_terminal: bool,
    colour: bool,
    tail: Tail,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // A log that nobody reads any more must not become a panic of the one who writes it.
    let lines = tracing_subscriber::fmt::layer()
        .log_internal_errors(false)
        .with_writer(writer)
        .with_ansi(colour);
    let filter = filter(logging);
    let kept = tracing_subscriber::fmt::layer()
        .log_internal_errors(false)
        .with_writer(tail)
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_filter(self::filter(Logging { requests: true, ..logging }));
    let json = match logging.format {
        LogFormat::Auto => !is_terminal,
        LogFormat::Human => false,
        LogFormat::Json => true,
    };
    if json {
        let lines = lines.json().flatten_event(true).with_current_span(false).with_span_list(false);
        Box::new(registry().with(kept).with(lines.with_filter(filter)))
    } else {
        Box::new(registry().with(kept).with(lines.with_target(false).with_filter(filter)))
    }
}

/// Our own lines at the chosen level; libraries speak up from `warn` on, because what they say at
/// `debug` is theirs and not reviewed for secrets.
fn filter(logging: Logging) -> Targets {
    let level = match logging.level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
    };
    let requests = if logging.requests { level.max(LevelFilter::INFO) } else { LevelFilter::OFF };
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target("godex", level)
        .with_target(REQUESTS, requests)
        .with_target(READY, LevelFilter::INFO)
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::{READY, REQUESTS, Tail, subscriber};
    use crate::config::{LogFormat, LogLevel, Logging};

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(logging: Logging, is_terminal: bool) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let subscriber =
            subscriber(logging, is_terminal, false, Tail::default(), move || writer.clone());
        tracing::subscriber::with_default(subscriber, || {
            tracing::debug!("small");
            tracing::info!(key.id = "key_1", "happened");
            tracing::error!("failed");
            tracing::debug!(target: "hyper", "library detail");
            tracing::info!(target: REQUESTS, status = 200, "served");
            tracing::info!(target: READY, "listening");
        });
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_level_and_the_request_lines_are_separate_choices() {
        #[track_caller]
        fn check(level: LogLevel, requests: bool, expected: &[&str]) {
            let text = logged(Logging { level, format: LogFormat::Human, requests }, true);
            let all = ["small", "happened", "failed", "library detail", "served", "listening"];
            let seen: Vec<_> = all.into_iter().filter(|word| text.contains(word)).collect();
            assert_eq!(seen, expected, "{text}");
        }
        check(LogLevel::Debug, false, &["small", "happened", "failed", "listening"]);
        check(LogLevel::Info, false, &["happened", "failed", "listening"]);
        check(LogLevel::Warn, false, &["failed", "listening"]);
        check(LogLevel::Error, true, &["failed", "served", "listening"]);
        check(LogLevel::Info, true, &["happened", "failed", "served", "listening"]);
    }

    #[test]
    fn without_a_terminal_a_line_is_a_json_object_with_a_utc_timestamp() {
        let logging = Logging { level: LogLevel::Info, format: LogFormat::Auto, requests: false };
        let text = logged(logging, false);
        let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!(line["message"], "happened");
        assert_eq!(line["key.id"], "key_1");
        let time: jiff::Timestamp = line["timestamp"].as_str().unwrap().parse().unwrap();
        assert!(time > jiff::Timestamp::UNIX_EPOCH);
        assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    }

    #[test]
    fn an_explicit_format_does_not_ask_for_a_terminal() {
        let line = |format, is_terminal| {
            logged(Logging { level: LogLevel::Info, format, requests: false }, is_terminal)
        };
        assert!(line(LogFormat::Json, true).starts_with('{'));
        assert!(!line(LogFormat::Human, false).starts_with('{'));
        assert!(!line(LogFormat::Auto, true).starts_with('{'));
    }

    #[test]
    fn whoever_asks_gets_the_last_lines_once_and_then_those_to_come() {
        let logging = Logging { level: LogLevel::Warn, format: LogFormat::Human, requests: false };
        let tail = Tail::default();
        let subscriber = subscriber(logging, true, false, tail.clone(), io::sink);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!("too small");
            tracing::warn!(key.id = "key_1", "before");
            let (kept, mut following) = tail.kept();
            assert_eq!(kept.len(), 1);
            let line: serde_json::Value = serde_json::from_str(&kept[0]).unwrap();
            assert_eq!((&line["message"], &line["key.id"]), (&"before".into(), &"key_1".into()));
            assert!(tail.is_followed());
            tracing::info!(target: REQUESTS, status = 200, "served");
            assert!(following.try_recv().unwrap().contains("\"status\":200"));
            assert!(following.try_recv().is_err());
        });
        for _ in 0..super::KEPT + 5 {
            drop(super::TailLine { tail: tail.clone(), text: b"x\n".to_vec() });
        }
        assert_eq!(tail.kept().0.len(), super::KEPT);
        assert!(!tail.is_followed());
    }
}
