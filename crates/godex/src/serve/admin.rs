//! The admin socket: a file that only this user can open, where `godex status`, `godex logs` and
//! `godex top` ask. One line asks, lines of JSON answer.

use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::state::App;
use crate::clock;
use crate::logging::Tail;
use crate::tasks::Tasks;

/// The longest question.
const QUESTION: u64 = 64;
/// How long a question may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long nothing is accepted after a failure.
const PAUSE: Duration = Duration::from_millis(100);

/// What is told about this run beside what [`super::board`] knows.
pub(super) struct About {
    /// Where clients connect.
    pub(super) listen: String,
    /// Where answers come from.
    pub(super) backend: String,
    /// Whether that is the simulator.
    pub(super) mock: bool,
    /// Whether clients have to speak TLS.
    pub(super) tls: bool,
    /// Who is let in: `any`, `shared` (the key of `--api-key`, and managed keys) or `managed`.
    pub(super) access: &'static str,
    /// Where the managed keys are.
    pub(super) keys_path: PathBuf,
}

/// The socket. Dropped, its file goes.
pub(crate) struct Socket {
    listener: UnixListener,
    path: PathBuf,
}

impl Drop for Socket {
    fn drop(&mut self) {
        // Whoever finds it asks in vain, and the next proxy on this port replaces it.
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Socket {
    /// Opens it, in the place of one that nobody answers at any more.
    ///
    /// # Errors
    ///
    /// When the folder is closed to us, the path is too long, or another proxy answers there.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        if let Some(folder) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        if path.exists() {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(io::ErrorKind::AddrInUse.into());
            }
            std::fs::remove_file(path)?;
        }
        let listener = UnixListener::bind(path)?;
        let socket = Self { listener, path: path.to_owned() };
        std::fs::set_permissions(path, Permissions::from_mode(0o600))?;
        Ok(socket)
    }

    /// Answers until `stop`.
    pub(super) async fn serve(
        self,
        app: Arc<App>,
        about: About,
        tail: Tail,
        tasks: Tasks,
        stop: CancellationToken,
    ) {
        let about = Arc::new(about);
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(PAUSE).await;
                continue;
            };
            let (app, about, tail) = (Arc::clone(&app), Arc::clone(&about), tail.clone());
            let stop = stop.clone();
            tasks.spawn(async move {
                // Whoever asked and left needs no answer.
                let _ = stop.run_until_cancelled(answer(stream, &app, &about, &tail)).await;
            });
        }
    }
}

async fn answer(stream: UnixStream, app: &App, about: &About, tail: &Tail) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut question = String::new();
    let mut read = BufReader::new(read.take(QUESTION));
    let reading = read.read_line(&mut question);
    let read = tokio::time::timeout(PATIENCE, reading).await;
    let read = read.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    read?;
    match question.trim() {
        "status" => write.write_all(line(&status(app, about)).as_bytes()).await,
        "logs" => {
            for line in tail.kept().0 {
                write.write_all(line.as_bytes()).await?;
            }
            Ok(())
        }
        "follow" => follow(write, tail).await,
        _ => {
            write.write_all(line(&json!({"error": "ask status, logs or follow"})).as_bytes()).await
        }
    }
}

async fn follow(mut write: tokio::net::unix::OwnedWriteHalf, tail: &Tail) -> io::Result<()> {
    let (kept, mut live) = tail.kept();
    for old in kept {
        write.write_all(old.as_bytes()).await?;
    }
    loop {
        match live.recv().await {
            Ok(new) => write.write_all(new.as_bytes()).await?,
            Err(RecvError::Lagged(lost)) => {
                let lost =
                    json!({"level": "WARN", "message": format!("{lost} lines were too fast")});
                write.write_all(line(&lost).as_bytes()).await?;
            }
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

fn line(value: &Value) -> String {
    format!("{value}\n")
}

fn status(app: &App, about: &About) -> Value {
    app.keys.attend();
    let login = app.login.status();
    let expires = login.expires_at.and_then(|it| i64::try_from(it).ok());
    let expires = expires.and_then(|it| jiff::Timestamp::from_second(it).ok());
    let spent = app.opener.spent_until().and_then(|it| i64::try_from(it).ok());
    let spent = spent.and_then(|it| jiff::Timestamp::from_second(it).ok());
    let catalogue = app.models.current();
    let models = if catalogue.known() { catalogue.served(&app.names) } else { Vec::new() };
    let mut status = json!({
        "schema_version": 1,
        "running": true,
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "listen": about.listen,
        "tls": about.tls,
        "backend": about.backend,
        "mock": about.mock,
        "draining": app.is_draining(),
        "login": {
            "plan": login.plan,
            "account_tail": login.account_tail,
            "expires_at": expires.map(|it| format!("{it:.0}")),
            "renews": login.renews,
            "ended": login.ended.map(|it| it.to_string()),
        },
        "plan_spent_until": spent.map(|it| format!("{it:.0}")),
        "access": about.access,
        "keys_path": about.keys_path,
        "model": app.names.default,
        "models": models,
        "active_keys": app.keys.active(clock::timestamp()),
    });
    if let (Some(status), Value::Object(board)) = (status.as_object_mut(), app.board.document()) {
        status.extend(board);
    }
    status
}
