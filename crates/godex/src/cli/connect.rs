//! `godex connect`: what a client needs to know to use the proxy, printed or written into the
//! client's own configuration, and taken out of it again.

mod ask;
mod edit;
mod list;
pub(super) mod recipes;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::ValueEnum as _;
use godex_core::codex::catalogue::Catalogue;
use godex_core::key::ApiKey;

use self::recipes::{Client, Target};
use super::report::{Exit, Failure};
use super::talk::Talk;
use super::{keys, settings};
use crate::config::{KeysPath, Surroundings, parse_listen};
use crate::store::undo::{self, Note, Standing};

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

    /// Model for the client [default: the first that the proxy serves, else gpt-5.2-codex]
    #[arg(long, env = "GODEX_PROXY_MODEL", value_name = "MODEL")]
    model: Option<String>,

    /// Address that the client connects to [default: made of --listen]
    #[arg(long, value_name = "URL")]
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

/// The model whose name always works. Source: `docs/decisions.md`.
const ALWAYS: &str = "gpt-5.2-codex";

/// Prints, writes or takes back what connects a client.
///
/// # Errors
///
/// When the client has no file of its own, its file cannot be understood or written, or a key
/// cannot be made.
pub(super) fn run(
    args: &Args,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let Some(client) = args.client else { return list::run(args.json, surroundings, talk) };
    let keys_path = args.keys.find(surroundings).map_err(|error| settings::refused(&error))?;
    if args.restore {
        return restore(client, args.force, &keys_path, surroundings, talk);
    }
    let file = if args.write { Some(file_of(client, surroundings)?) } else { None };
    // Found out before a key is made for a file that cannot be written.
    let planned = file.map(|path| plan(client, path, surroundings)).transpose()?;
    let earlier = planned.as_ref().and_then(|it| it.base.earlier.as_ref());
    let old_key = earlier.and_then(|it| it.key_id.clone());
    let url = args.url.clone().unwrap_or_else(|| address(args.listen));
    let url = url.trim_end_matches('/').to_owned();
    let label = match (&args.key_label, args.write && args.key.is_none()) {
        (Some(label), _) => Some(label.clone()),
        (None, true) => Some(name(client)),
        (None, false) => None,
    };
    let made = label.map(|label| keys::create(label, &keys_path)).transpose()?;
    let key = match (&made, &args.key) {
        (Some((_, key)), _) => Some(key.clone()),
        (None, Some(key)) => Some(keys::given(key, talk)?),
        (None, None) => None,
    };
    let served = key.as_ref().and_then(|key| ask::models(&url, key));
    let model = args.model.clone().unwrap_or_else(|| fallback(client, served.as_deref()));
    let target = Target { url, key: key.map(|it| it.expose().to_owned()), model };
    let Some(planned) = planned else {
        return print(client, &target, surroundings, talk);
    };
    let key_id = made.map(|(id, _)| id.to_string());
    let outcome = write(client, &planned, &target, key_id.clone());
    match outcome {
        Ok(note) => {
            if let Some(old) = old_key {
                keys::retire(&old, &keys_path)?;
            }
            tell(client, &note, &target, served.is_some(), talk);
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

/// The model of a client that nobody chose one for.
fn fallback(client: Client, served: Option<&[String]>) -> String {
    let real = served.into_iter().flatten().find(|it| *it != ALWAYS).cloned();
    let bundled = || Catalogue::bundled().first().map(str::to_owned);
    // The Codex CLI looks models up in a list of its own, and warns about any other.
    let found = if client == Client::Codex { real.or_else(bundled) } else { real };
    found.unwrap_or_else(|| ALWAYS.to_owned())
}

/// Where a client on this machine finds a proxy that listens there.
pub(super) fn address(listen: SocketAddr) -> String {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        IpAddr::V4(_) | IpAddr::V6(_) => listen.ip(),
    };
    format!("http://{}/v1", SocketAddr::new(ip, listen.port()))
}

fn file_of(client: Client, surroundings: &Surroundings) -> Result<PathBuf, Failure> {
    let path = client.file(surroundings).map_err(|error| settings::refused(&error))?;
    path.ok_or_else(|| {
        let name = name(client);
        Failure::new(Exit::Usage, format!("{name} has no file that could be written"))
            .cause("it keeps its settings itself, or in the code that uses it")
            .help(format!("godex connect {name}            (prints what it needs)"))
    })
}

fn note_place(client: Client, surroundings: &Surroundings) -> Result<PathBuf, Failure> {
    let folder = surroundings.state_folder().map_err(|error| settings::refused(&error))?;
    Ok(folder.join(format!("connect-{}.json", name(client))))
}

fn plan(client: Client, path: PathBuf, surroundings: &Surroundings) -> Result<Planned, Failure> {
    let place = note_place(client, surroundings)?;
    let base = undo::base(&place, &path).map_err(|error| {
        Failure::new(Exit::Config, format!("cannot read {}", path.display()))
            .cause(error.to_string())
    })?;
    // The file must be understood before anything is made for it.
    let probe = Target { url: "http://x/v1".to_owned(), key: None, model: "m".to_owned() };
    edited(client, &path, base.text.as_deref(), &probe)?;
    Ok(Planned { place, path, base })
}

fn edited(
    client: Client,
    path: &Path,
    old: Option<&str>,
    target: &Target,
) -> Result<String, Failure> {
    client.edit(old, target).map_err(|error| {
        let name = name(client);
        Failure::new(Exit::Config, format!("{} is not changed", path.display()))
            .cause(error.to_string())
            .help(format!("godex connect {name}            (prints what belongs in there)"))
    })
}

fn write(
    client: Client,
    planned: &Planned,
    target: &Target,
    key_id: Option<String>,
) -> Result<Note, Failure> {
    let Planned { place, path, base } = planned;
    let text = edited(client, path, base.text.as_deref(), target)?;
    undo::apply(place, path, &text, key_id, base).map_err(|error: io::Error| {
        Failure::new(Exit::Config, format!("cannot write {}", path.display()))
            .cause(error.to_string())
            .help("make its folder writable for this user; the file is as it was")
    })
}

fn print(
    client: Client,
    target: &Target,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let path = client.file(surroundings).ok().flatten();
    if let Some(path) = path {
        talk.note(&format!(
            "for {}; godex connect {} --write puts it there",
            path.display(),
            name(client)
        ));
    }
    if target.key.is_none() {
        talk.note("the key is one of: godex proxy keys add --label my-laptop");
    }
    if let Some(hint) = client.hint(&target.url) {
        talk.note(hint);
    }
    talk.say(&client.snippet(target))
}

fn tell(client: Client, note: &Note, target: &Target, answers: bool, talk: &mut Talk<'_>) {
    let name = name(client);
    talk.note(&format!("{name} now uses {} at {}", target.model, target.url));
    talk.note(&format!("  written to  {}", note.path.display()));
    if let Some(backup) = &note.backup {
        talk.note(&format!("  kept        {}", backup.display()));
    }
    if let Some(id) = &note.key_id {
        talk.note(&format!("  key         {id}, label {name}  (godex proxy usage show {id})"));
    }
    talk.note(&format!("  undo        godex connect {name} --restore"));
    match (answers, client.start()) {
        (false, _) => talk.note("  next        godex proxy            (nobody answers there yet)"),
        (true, Some(start)) => talk.note(&format!("  next        {start}")),
        (true, None) => {}
    }
}

fn restore(
    client: Client,
    force: bool,
    keys_path: &Path,
    surroundings: &Surroundings,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    file_of(client, surroundings)?;
    let name = name(client);
    let place = note_place(client, surroundings)?;
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
        return Err(
            failure.help(format!("or lose them            godex connect {name} --restore --force"))
        );
    }
    undo::restore(&place, &note).map_err(failed)?;
    talk.note(&match note.backup {
        Some(_) => format!("{path} is as it was"),
        None => format!("removed {path}, which was not there before"),
    });
    if let Some(id) = &note.key_id {
        keys::retire(id, keys_path)?;
        talk.note(&format!("revoked {id}, the key that was made for it"));
    }
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests;
