//! `godex connect`: what a client needs to know to use the proxy, printed or written into the
//! client's own configuration, and taken out of it again.

mod ask;
mod edit;
mod list;
pub(super) mod recipes;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{ArgMatches, ValueEnum as _};
use godex_core::codex::catalogue::Catalogue;
use godex_core::key::ApiKey;

use self::ask::{Running, Said};
use self::recipes::{Client, Target};
use super::listener::reachable;
use super::report::{Exit, Failure};
use super::talk::Talk;
use super::ways::Ways;
use super::{keys, settings};
use crate::config::{DOCUMENTED_MODEL, KeysPath, Surroundings, parse_client_url, parse_listen};
use crate::store::undo::{self, Made, Note, Standing};

/// The clients that have a file of their own, by name.
pub(super) const WITH_FILES: [(&str, Client); 5] = [
    ("codex", Client::Codex),
    ("openclaw", Client::Openclaw),
    ("opencode", Client::Opencode),
    ("aider", Client::Aider),
    ("continue", Client::Continue),
];

/// `godex connect`.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of the command line")]
#[derive(Debug, clap::Args)]
#[command(after_help = NOTES)]
pub(super) struct Args {
    /// The program to connect
    #[arg(value_enum, required_unless_present = "list")]
    client: Option<Client>,

    /// List all clients, where their files are and which are connected
    #[arg(long, conflicts_with_all = ["client", "print", "write", "restore", "key", "key_label"])]
    list: bool,

    /// With --list: as JSON
    #[arg(long, requires = "list", conflicts_with = "client")]
    json: bool,

    /// Print what the client needs; this is what happens without --write and --restore
    #[arg(long)]
    print: bool,

    /// Write it into the client's own configuration, and keep what was there
    #[arg(long, conflicts_with_all = ["print", "restore"])]
    write: bool,

    /// Put back what was there before --write
    #[arg(long, conflicts_with = "print")]
    restore: bool,

    /// With --restore: even if the file was changed since, whose changes are then lost
    #[arg(long, requires = "restore")]
    force: bool,

    /// Key for the client; `-` reads it from standard input [default: --write makes a managed key]
    #[arg(long, value_name = "KEY")]
    #[arg(value_parser = clap::builder::TypedValueParser::map(
        clap::builder::StringValueParser::new(), ApiKey::from))]
    key: Option<ApiKey>,

    /// Make a managed key with this label [default: the client's name, with --write]
    #[arg(long, value_name = "LABEL", conflicts_with = "key")]
    key_label: Option<String>,

    /// Model for the client [default: that of the running proxy's --model, else the first that it
    /// serves, else gpt-5.2-codex]
    #[arg(long, env = "GODEX_PROXY_MODEL", value_name = "MODEL")]
    model: Option<String>,

    /// Address that the client connects to [default: made of --listen]
    #[arg(long, value_name = "URL", value_parser = parse_client_url)]
    url: Option<String>,

    /// Address that the proxy listens on
    #[arg(
        long,
        env = "GODEX_PROXY_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:39001"
    )]
    #[arg(value_parser = parse_listen)]
    listen: SocketAddr,

    #[command(flatten)]
    keys: KeysPath,
}

const NOTES: &str = "\
--write knows the files of codex, openclaw, opencode, aider and continue:
  it keeps a copy beside the file, FILE.before-godex, comments and order stay as they are,
  and --restore puts the copy back and revokes the key that was made.";

/// A client, and what the user types next about it.
struct Subject<'a> {
    client: Client,
    write: bool,
    /// The label of a key that is made.
    label: String,
    ways: Ways<'a>,
}

impl Subject<'_> {
    /// The same command with a key in it.
    fn with_key(&self) -> String {
        self.again(if self.write { " --write --key KEY" } else { " --key KEY" })
    }

    /// `godex connect` for this client with these words, and with the flags that were given.
    fn again(&self, words: &str) -> String {
        self.ways.with(&format!("godex connect {}{words}", name(self.client)), GIVEN_AGAIN)
    }
}

/// The flags that the next command needs as well.
const GIVEN_AGAIN: &[&str] = &["listen", "url", "keys_path"];

/// Prints, writes or takes back what connects a client.
///
/// # Errors
///
/// When the client has no file of its own, its file cannot be understood or written, a key cannot
/// be made, or would open nothing.
pub(super) fn run(
    args: &Args,
    matches: &ArgMatches,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let Some(client) = args.client else { return list::run(args.json, surroundings, talk) };
    let ways = Ways::new(matches.subcommand_matches("connect").unwrap_or(matches));
    let label = args.key_label.clone().unwrap_or_else(|| name(client));
    let subject = Subject { client, write: args.write, label, ways };
    let keys_path = args.keys.find(surroundings).map_err(|error| settings::refused(&error))?;
    if args.restore {
        return restore(&subject, args.force, &keys_path, surroundings, talk);
    }
    let file = if args.write { Some(file_of(&subject, surroundings)?) } else { None };
    // Found out before a key is made for a file that cannot be written.
    let planned = file.map(|path| plan(&subject, path, surroundings)).transpose()?;
    let earlier = planned.as_ref().and_then(|it| it.base.earlier.as_ref());
    let old_key = earlier.and_then(|it| it.key(&keys_path));
    let running = match args.url {
        Some(_) => None,
        None => Running::on(args.listen.port(), surroundings),
    };
    let tls = running.as_ref().is_some_and(|it| it.tls);
    let url = args.url.clone().unwrap_or_else(|| {
        let url = address(args.listen);
        if tls { url.replacen("http", "https", 1) } else { url }
    });
    let label = match (&args.key_label, args.write && args.key.is_none()) {
        (Some(label), _) => Some(label.clone()),
        (None, true) => Some(name(client)),
        (None, false) => None,
    };
    if let (Some(_), Some(running)) = (&label, &running) {
        reads(running, &keys_path, &url, &subject)?;
    }
    let made = label.map(|label| keys::create(label, &keys_path)).transpose()?;
    let key = match (&made, &args.key) {
        (Some((_, key)), _) => Some(key.clone()),
        (None, Some(key)) => Some(keys::given(key, talk)?),
        (None, None) => None,
    };
    let said = key.as_ref().map_or(Said::Nothing, |key| ask::models(&url, key));
    let key_id = made.map(|(id, _)| id.to_string());
    if let (Some(id), Said::WrongKey) = (&key_id, &said) {
        keys::retire(id, &keys_path)?;
        return Err(unknown_there(&url, &keys_path, &subject));
    }
    let served = match (&said, &running) {
        (Said::Models(models), _) => models.as_slice(),
        (_, Some(running)) => running.models.as_slice(),
        (_, None) => &[],
    };
    let default = running.as_ref().map(|it| it.model.as_str());
    let model = args.model.clone().unwrap_or_else(|| fallback(client, default, served));
    let unknown = match (&said, &key, &args.model) {
        (Said::Models(listed), Some(key), Some(chosen)) => {
            !listed.contains(chosen) && ask::refuses(&url, key, chosen)
        }
        (Said::Models(_) | Said::WrongKey | Said::Other(_) | Said::Nothing, _, _) => false,
    };
    let doubt = unknown.then(|| format!("{url} does not serve {model}, but {}", served.join(", ")));
    let target = Target { url, key: key.map(|it| it.expose().to_owned()), model };
    let Some(planned) = planned else {
        if let Some(doubt) = doubt {
            talk.note(&doubt);
        }
        return print(&subject, &target, running.as_ref(), surroundings, talk);
    };
    let file = std::path::absolute(&keys_path).unwrap_or_else(|_| keys_path.clone());
    let key = key_id.clone().map(|id| Made { id, file });
    match write(&subject, &planned, &target, key) {
        Ok(note) => {
            if let Some(old) = old_key {
                keys::retire(&old.id, &old.file)?;
            }
            tell(&subject, &note, &target, (&said, running.is_some()), talk);
            if let Some(doubt) = doubt {
                talk.note(&format!("  but         {doubt}"));
            }
            Ok(Exit::Success)
        }
        Err(failure) => {
            if let Some(id) = key_id {
                keys::retire(&id, &keys_path)?;
            }
            Err(failure)
        }
    }
}

/// Refuses to make a key in this file if the proxy that runs there does not read it.
fn reads(
    running: &Running,
    keys_path: &Path,
    url: &str,
    subject: &Subject<'_>,
) -> Result<(), Failure> {
    let same = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).ok();
    if running.is_open() || same(&running.keys_path) == same(keys_path) {
        return Ok(());
    }
    if running.reads_no_keys() {
        let what = format!("the proxy at {url} is a mock, which reads no key file");
        return Err(Failure::new(Exit::Usage, what)
            .cause("a key that is made now would open nothing there")
            .help(format!("give the key that it shows    {}", subject.with_key())));
    }
    Err(unknown_there(url, keys_path, subject)
        .help(format!("or in its own file            --keys-path {}", running.keys_path.display())))
}

/// A key of this file opens nothing at `url`.
fn unknown_there(url: &str, keys_path: &Path, subject: &Subject<'_>) -> Failure {
    let what = format!("the proxy at {url} does not know the keys of {}", keys_path.display());
    Failure::new(Exit::Usage, what)
        .cause("a key that is made in there would open nothing")
        .help(format!("give a key that it knows      {}", subject.with_key()))
}

/// A change that is about to be made.
struct Planned {
    place: PathBuf,
    path: PathBuf,
    base: undo::Base,
}

/// The client's name, as it is typed.
fn name(client: Client) -> String {
    client.to_possible_value().map(|it| it.get_name().to_owned()).unwrap_or_default()
}

/// The model of a client that nobody chose one for: the one that was chosen for the proxy that
/// runs, else the first that is served.
fn fallback(client: Client, default: Option<&str>, served: &[String]) -> String {
    if let Some(chosen) = default.filter(|it| *it != DOCUMENTED_MODEL) {
        return chosen.to_owned();
    }
    let real = served.iter().find(|it| *it != DOCUMENTED_MODEL).cloned();
    let bundled = || Catalogue::bundled().first().map(str::to_owned);
    // The Codex CLI looks models up in a list of its own, and warns about any other.
    let found = if client == Client::Codex { real.or_else(bundled) } else { real };
    found.unwrap_or_else(|| DOCUMENTED_MODEL.to_owned())
}

/// Where a client on this machine finds a proxy that listens there.
pub(super) fn address(listen: SocketAddr) -> String {
    format!("http://{}/v1", reachable(listen))
}

fn file_of(subject: &Subject<'_>, surroundings: &Surroundings) -> Result<PathBuf, Failure> {
    let path = subject.client.file(surroundings).map_err(|error| settings::refused(&error))?;
    path.ok_or_else(|| {
        let name = name(subject.client);
        Failure::new(Exit::Usage, format!("{name} has no file that could be written"))
            .cause("it keeps its settings itself, or in the code that uses it")
            .help(format!("{}            (prints what it needs)", subject.again("")))
    })
}

fn note_place(client: Client, surroundings: &Surroundings) -> Result<PathBuf, Failure> {
    let folder = surroundings.state_folder().map_err(|error| settings::refused(&error))?;
    Ok(folder.join(format!("connect-{}.json", name(client))))
}

fn plan(
    subject: &Subject<'_>,
    path: PathBuf,
    surroundings: &Surroundings,
) -> Result<Planned, Failure> {
    let place = note_place(subject.client, surroundings)?;
    let base = undo::base(&place, &path).map_err(|error| {
        Failure::new(Exit::Config, format!("cannot read {}", path.display()))
            .cause(error.to_string())
    })?;
    // The file must be understood before anything is made for it.
    let probe = Target { url: "http://x/v1".to_owned(), key: None, model: "m".to_owned() };
    edited(subject, &path, base.text.as_deref(), &probe)?;
    Ok(Planned { place, path, base })
}

fn edited(
    subject: &Subject<'_>,
    path: &Path,
    old: Option<&str>,
    target: &Target,
) -> Result<String, Failure> {
    subject.client.edit(old, target).map_err(|error| {
        Failure::new(Exit::Config, format!("{} is not changed", path.display()))
            .cause(error.to_string())
            .help(format!("{}            (prints what belongs in there)", subject.again("")))
    })
}

fn write(
    subject: &Subject<'_>,
    planned: &Planned,
    target: &Target,
    key: Option<Made>,
) -> Result<Note, Failure> {
    let Planned { place, path, base } = planned;
    let text = edited(subject, path, base.text.as_deref(), target)?;
    undo::apply(place, path, &text, key, base).map_err(|error: io::Error| {
        Failure::new(Exit::Config, format!("cannot write {}", path.display()))
            .cause(error.to_string())
            .help("make its folder writable for this user; the file is as it was")
    })
}

fn print(
    subject: &Subject<'_>,
    target: &Target,
    running: Option<&Running>,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let client = subject.client;
    let path = client.file(surroundings).ok().flatten();
    if let Some(path) = path {
        let own = target.key.is_some() || running.is_some_and(Running::reads_no_keys);
        let words = if own { " --write --key KEY" } else { " --write" };
        talk.note(&format!("for {}; {} puts it there", path.display(), subject.again(words)));
    }
    if target.key.is_none() {
        let add = subject.ways.with("godex proxy keys add --label my-laptop", &["keys_path"]);
        talk.note(&match running {
            Some(running) if running.is_open() => "any key opens the proxy that runs there".into(),
            Some(running) if running.mock => {
                "the key is the one that the mock shows: --key KEY".into()
            }
            Some(_) | None => format!("the key is one of: {add}"),
        });
    }
    if let Some(hint) = client.hint(&target.url) {
        talk.note(hint);
    }
    talk.say(&client.snippet(target))
}

/// Says what was written, and what comes next: `answer` is what the proxy said, and whether it runs
/// even if it said nothing.
fn tell(
    subject: &Subject<'_>,
    note: &Note,
    target: &Target,
    answer: (&Said, bool),
    talk: &mut Talk<'_>,
) {
    let name = name(subject.client);
    talk.note(&format!("{name} now uses {} at {}", target.model, target.url));
    talk.note(&format!("  written to  {}", note.path.display()));
    if let Some(backup) = &note.backup {
        talk.note(&format!("  kept        {}", backup.display()));
    }
    if let Some(id) = &note.key_id {
        let show = format!("godex proxy usage show {id}");
        let show = subject.ways.with(&show, &["keys_path"]);
        talk.note(&format!("  key         {id}, label {}  ({show})", subject.label));
    }
    let undo = subject.ways.with(&format!("godex connect {name} --restore"), &["keys_path"]);
    talk.note(&format!("  undo        {undo}"));
    match (answer, subject.client.start()) {
        ((Said::Models(_), _) | (Said::Nothing, true), Some(start)) => {
            talk.note(&format!("  next        {start}"));
        }
        ((Said::Models(_), _) | (Said::Nothing, true), None) => {}
        ((Said::WrongKey, _), _) => {
            talk.note("  but         the proxy that answers there does not know this key");
        }
        ((Said::Other(status), _), _) => {
            talk.note(&format!("  but         what answers there does not list models ({status})"));
        }
        ((Said::Nothing, false), _) => {
            let start = subject.ways.with("godex proxy", &["listen", "keys_path"]);
            talk.note(&format!("  next        {start}            (nobody answers there yet)"));
        }
    }
}

fn restore(
    subject: &Subject<'_>,
    force: bool,
    keys_path: &Path,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    file_of(subject, surroundings)?;
    let name = name(subject.client);
    let place = note_place(subject.client, surroundings)?;
    let failed = |error: io::Error| {
        Failure::new(Exit::Config, format!("cannot undo the connection of {name}"))
            .cause(error.to_string())
    };
    let Some(note) = Note::read(&place).map_err(failed)? else {
        let what = format!("there is nothing to undo: {name} was not connected with --write");
        return Err(Failure::new(Exit::Failure, what));
    };
    let path = note.path.display();
    if !force && note.standing().map_err(failed)? == Standing::Changed {
        let failure = Failure::new(Exit::Failure, format!("{path} was changed since"))
            .cause("to put the old file back would lose those changes");
        let failure = match &note.backup {
            Some(backup) => {
                failure.help(format!("look at them            diff {} {path}", backup.display()))
            }
            None => failure,
        };
        let forced = format!("godex connect {name} --restore --force");
        let forced = subject.ways.with(&forced, &["keys_path"]);
        return Err(failure.help(format!("or lose them            {forced}")));
    }
    undo::restore(&place, &note).map_err(failed)?;
    talk.note(&match note.backup {
        Some(_) => format!("{path} is as it was"),
        None => format!("removed {path}, which was not there before"),
    });
    if let Some(Made { id, file }) = note.key(keys_path) {
        talk.note(&if keys::retire(&id, &file)? {
            format!("revoked {id}, the key that was made for it")
        } else {
            format!("{id}, the key that was made for it, is not in {}", file.display())
        });
    }
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests;
