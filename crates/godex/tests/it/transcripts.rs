//! What the README and the documentation show is what happens: every command in them is typed,
//! page by page, into a terminal with an empty home, and its output compared with the shown one.
//! What cannot be typed here says why, and is counted.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::pages::{Step, all, is_shown, page};
use crate::terminal::{Terminal, Until};

/// Why blocks are not run, and how many there are for each reason.
const NOT_RUN: &[(&str, usize)] = &[
    ("builds for minutes", 3),
    ("installs packages", 3),
    ("listens to the network", 1),
    ("needs a Docker engine", 1),
    ("needs a browser and an account", 2),
    ("needs systemd", 1),
    ("needs the client, which clients/run has", 10),
    ("takes minutes, and needs nginx", 2),
    ("would run itself", 1),
];

/// Ports that pages name, from the proxy's own on.
const PORTS: [u16; 4] = [39001, 39002, 39003, 39004];
/// The home that pages show.
const HOME: &str = "/home/ann";

/// Where a page says `<!-- starts: signed in -->`, there is a login, and the simulator is the
/// backend.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Start {
    Empty,
    SignedIn,
}

/// What pages show, and what it is on this machine.
struct Names {
    home: PathBuf,
    ports: Vec<(String, String)>,
}

impl Names {
    fn new(home: PathBuf) -> Self {
        let ports = PORTS.iter().map(u16::to_string).zip(free_ports().map(|it| it.to_string()));
        Self { home, ports: ports.collect() }
    }

    fn home(&self) -> &str {
        self.home.to_str().unwrap()
    }

    fn port(&self, shown: u16) -> &str {
        let shown = shown.to_string();
        &self.ports.iter().find(|(it, _)| *it == shown).unwrap().1
    }

    fn here(&self, text: &str) -> String {
        let text = text.replace(HOME, self.home());
        self.ports.iter().fold(text, |text, (shown, port)| text.replace(shown, port))
    }

    fn there(&self, text: &str) -> String {
        let text = text.replace(self.home(), HOME);
        self.ports.iter().fold(text, |text, (shown, port)| text.replace(port, shown))
    }
}

/// Ports that nobody listens on. The system gives others to whoever asks for any, and other
/// tests that ask here get others, too, in this process or beside it.
fn free_ports() -> [u16; PORTS.len()] {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let process = std::process::id() % 1000 * 16;
    PORTS.map(|_| {
        loop {
            let next = process + TAKEN.fetch_add(1, Ordering::Relaxed);
            let port = u16::try_from(16384 + next % 16384).unwrap();
            if TcpListener::bind(("127.0.0.1", port)).is_ok() {
                return port;
            }
        }
    })
}

/// The last key in what was printed so far: it is typed where a page shows `gxk_…`.
fn last_key(printed: &str) -> &str {
    let at = printed.rfind("gxk_").unwrap();
    let key = &printed[at..];
    let end = key.find(|c: char| !(c.is_ascii_alphanumeric() || "_-".contains(c)));
    &key[..end.unwrap_or(key.len())]
}

/// Whether a command goes on until it is stopped.
fn serves(command: &str) -> bool {
    let command = command.replace("cargo run --release -- ", "godex ");
    let words: Vec<&str> = command.split_whitespace().collect();
    match words[..] {
        ["godex", "mock", ..] | ["godex", "proxy"] => true,
        ["godex", "proxy", next, ..] => next.starts_with('-') || next == "&",
        _ => false,
    }
}

/// Where the commands of a page are typed.
struct Desk {
    names: Names,
    variables: Vec<(String, String)>,
    /// The last one is typed into; in each of the others something serves.
    terminals: Vec<Terminal>,
    /// Something in the last terminal runs in the background.
    background: bool,
    printed: String,
    _folder: TempDir,
}

impl Desk {
    fn new(start: Start) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (home, commands) = (folder.path().join("home"), folder.path().join("bin"));
        fs::create_dir(&home).unwrap();
        fs::create_dir(&commands).unwrap();
        let names = Names::new(home);
        let program = env!("CARGO_BIN_EXE_godex");
        // The simulator's port is a default that no variable sets.
        let simulator = format!("127.0.0.1:{}", names.port(39002));
        let godex = format!(
            "#!/bin/sh\ncase \"$1\" in mock) shift; set -- mock --listen {simulator} \"$@\";; esac\nexec {program} \"$@\"\n"
        );
        provide(&commands, "godex", &godex);
        let run =
            "case \"$*\" in \"run --release -- \"*) shift 3; exec godex \"$@\";; *) exit 1;; esac";
        provide(&commands, "cargo", &format!("#!/bin/sh\n{run}\n"));
        let path = std::env::var("PATH").unwrap_or_default();
        let mut variables = vec![
            ("PATH", format!("{}:{path}", commands.display())),
            ("HOME", names.home().to_owned()),
            ("LANG", "C.UTF-8".to_owned()),
            ("GODEX_PROXY_LISTEN", format!("127.0.0.1:{}", names.port(39001))),
        ];
        if start == Start::SignedIn {
            variables
                .push(("GODEX_PROXY_BASE_URL", format!("http://{simulator}/backend-api/codex")));
        }
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value));
        let variables: Vec<_> = variables.collect();
        let mut desk = Self {
            terminals: Vec::new(),
            names,
            variables,
            background: false,
            printed: String::new(),
            _folder: folder,
        };
        desk.open();
        if start == Start::SignedIn {
            let command = "mkdir -p .codex && godex mock --write-auth .codex/auth.json".to_owned();
            let step = Step { command, shown: String::new(), interrupted: false };
            let printed = desk.terminals[0]
                .type_in(&step.command, Until::Printed, |it| it.contains("use it"));
            assert!(printed.code.is_none(), "{}", printed.text);
            desk.open();
        }
        desk
    }

    fn open(&mut self) {
        self.terminals.push(Terminal::open(&self.variables, Path::new(self.names.home())));
        self.background = false;
    }

    /// Ends what serves since the last with `^C`.
    fn end(&mut self, place: &str) {
        let (_, serving) = self.terminals.split_last_mut().unwrap();
        let code = serving.last_mut().unwrap().interrupt().code;
        assert_eq!(code, Some(0), "{place}: ^C");
    }

    /// Types a command and compares what it prints with what the page shows.
    fn play(&mut self, place: &str, step: &Step, may_fail: bool) {
        let Step { command, shown, interrupted } = step;
        if command.is_empty() {
            return self.end(place);
        }
        let serves = serves(command);
        let behind = command.ends_with('&');
        self.background |= behind;
        let until = match (serves && !behind, self.background) {
            (true, _) => Until::Printed,
            (false, true) => Until::Both,
            (false, false) => Until::Ended,
        };
        let mut typed = self.names.here(command);
        for placeholder in ["gxk_demo_…", "gxk_…"] {
            if typed.contains(placeholder) {
                typed = typed.replace(placeholder, last_key(&self.printed));
            }
        }
        let names = &self.names;
        let is_all = |text: &str| shown.is_empty() || is_shown(&names.there(text), shown);
        let is_ready =
            |text: &str| text.contains("  listening   ") || text.contains("  base URL    ");
        let terminal = self.terminals.last_mut().unwrap();
        let mut printed =
            terminal.type_in(&typed, until, |it| is_all(it) && (!serves || is_ready(it)));
        let found = names.there(&printed.text);
        assert!(is_all(&printed.text), "{place}: $ {command}\nshows\n{shown}\nbut prints\n{found}");
        if *interrupted {
            printed.code = terminal.interrupt().code;
        }
        self.printed.push_str(&printed.text);
        let ended = printed.code.is_some();
        assert!(ended || until_printed(until), "{place}: $ {command}\ndoes not end:\n{found}");
        let good = printed.code.unwrap_or(0) == 0 || may_fail;
        assert!(good, "{place}: $ {command}\nends with {:?}:\n{found}", printed.code);
        if !ended {
            self.open();
        }
    }
}

fn until_printed(until: Until) -> bool {
    match until {
        Until::Printed => true,
        Until::Ended | Until::Both => false,
    }
}

fn provide(folder: &Path, name: &str, script: &str) {
    fs::write(folder.join(name), script).unwrap();
    fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
}

/// Types everything that a page shows, in order.
#[track_caller]
fn play(name: &str) {
    let page = page(name);
    let wished = page.comment("starts");
    assert!(matches!(wished, None | Some("signed in")), "{name}: no start is {wished:?}");
    let start = if wished.is_some() { Start::SignedIn } else { Start::Empty };
    let mut desk = Desk::new(start);
    let mut count = 0;
    for block in page.blocks().iter().filter(|it| it.is_typed() && it.not_run.is_none()) {
        let steps = block.steps();
        for (at, step) in steps.iter().enumerate() {
            let asked = steps.get(at + 1).is_some_and(|next| next.command.contains("$?"));
            desk.play(&format!("{name}:{}", block.line), step, asked);
            count += 1;
        }
    }
    assert!(count > 0, "{name} has nothing to type");
}

/// A test for each page with something to type, and the list of them.
macro_rules! pages {
    ($($test:ident: $page:literal,)*) => {
        $(#[test] fn $test() { play($page); })*
        const PLAYED: &[&str] = &[$($page),*];
    };
}

pages! {
    what_the_readme_shows_happens: "README.md",
    what_connect_shows_happens: "docs/connect.md",
    what_errors_shows_happens: "docs/errors.md",
    what_getting_started_shows_happens: "docs/getting-started.md",
    what_keys_shows_happens: "docs/keys.md",
    what_operating_shows_happens: "docs/operating.md",
    what_proxy_shows_happens: "docs/proxy.md",
    what_sessions_shows_happens: "docs/sessions.md",
    what_tools_shows_happens: "docs/tools.md",
    what_usage_shows_happens: "docs/usage.md",
    the_examples_begin_as_shown: "examples/README.md",
    what_the_example_of_aider_shows_happens: "examples/aider/README.md",
    what_the_example_of_codex_shows_happens: "examples/codex/README.md",
    what_the_example_of_continue_shows_happens: "examples/continue/README.md",
    what_the_example_of_curl_shows_happens: "examples/curl/README.md",
    what_the_example_of_openclaw_shows_happens: "examples/openclaw/README.md",
    what_the_example_of_opencode_shows_happens: "examples/opencode/README.md",
}

#[test]
fn every_page_with_something_to_type_is_played() {
    let typed = all()
        .into_iter()
        .filter(|page| page.blocks().iter().any(|it| it.is_typed() && it.not_run.is_none()));
    let mut played = PLAYED.to_vec();
    played.sort_unstable();
    assert_eq!(typed.map(|page| page.name).collect::<Vec<_>>(), played);
}

#[test]
fn what_is_not_run_says_why_and_is_counted() {
    let mut reasons = BTreeMap::<String, usize>::new();
    for page in all() {
        for block in page.blocks() {
            let place = format!("{}:{}", page.name, block.line);
            assert!(!block.language.is_empty(), "{place}: a block without a language");
            assert!(block.is_typed() || block.not_run.is_none(), "{place}: nobody would run it");
            if let Some(reason) = block.not_run {
                *reasons.entry(reason).or_default() += 1;
            }
        }
    }
    let found: Vec<_> = reasons.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
    assert_eq!(found, NOT_RUN);
}
