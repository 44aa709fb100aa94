//! `godex proxy keys`: the commands that make, show, change, rotate and revoke managed keys.
//!
//! A new secret goes to standard output, alone and once; everything else that is said when
//! something changes goes to standard error. A running proxy follows the file within two seconds.

mod args;
mod show;

use std::io::Read;
use std::path::Path;

use godex_core::key::{ApiKey, KeyHash, KeyId};
use jiff::Timestamp;
use serde_json::json;

pub(super) use self::args::Args;
use self::args::{Add, Change, Command, Named, Rotate, Update};
use super::report::{Exit, Failure};
use super::talk::{Talk, pretty};
use crate::clock;
use crate::store::keys::record::{Previous, Record, Records, Unclear};
use crate::store::keys::{self as store};

/// Shortest secret of somebody's own choice that is not warned about.
const SHORT: usize = 24;
/// The longest, as a header has room for it.
const LONGEST: u64 = 4096;

/// The key file.
#[derive(Clone, Copy)]
pub(super) struct World<'a> {
    /// Where it is.
    pub(super) path: &'a Path,
    /// The flags that name it in the next command, if any did in this one.
    pub(super) given: &'a str,
}

impl World<'_> {
    /// What is typed next, on the same key file.
    fn next(&self, words: &str) -> String {
        format!("godex proxy keys {words}{}", self.given)
    }
}

/// Runs `godex proxy keys …`.
///
/// # Errors
///
/// When the key file refuses, a name stands for no key, or the output cannot be written.
pub(super) fn run(args: Args, world: &World<'_>, talk: &mut Talk<'_>) -> Result<Exit, Failure> {
    let now = clock::timestamp();
    match args.command {
        Command::Add(args) => add(*args, world, now, talk),
        Command::List { json } => list(json, world, now, talk),
        Command::Show(Named { name, json }) => {
            let mut records = Records::read(world.path).map_err(|it| failure(&it))?;
            let record = find(&mut records, &name, world)?;
            let text = if json {
                pretty(&show::versioned(show::json(record, now)))
            } else {
                show::lines(record, now)
            };
            talk.say(&text)
        }
        Command::Update(args) => update(*args, world, now, talk),
        Command::Revoke { named, yes } => revoke(&named, yes, world, now, talk),
        Command::Rotate(args) => rotate(&args, world, now, talk),
    }
}

/// A failure inside the lock of the key file: the file's, or the command's own.
struct Refusal(Failure);

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Self {
        Self(failure(&error))
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

fn change<T>(
    path: &Path,
    work: impl FnOnce(&mut Records) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let result: Result<T, Refusal> = Records::change(path, |it| work(it).map_err(Refusal));
    result.map_err(|it| it.0)
}

fn add(args: Add, world: &World<'_>, now: Timestamp, talk: &mut Talk<'_>) -> Result<Exit, Failure> {
    let (secret, is_own) = (secret(args.key.as_ref(), talk)?, args.key.is_some());
    let (record, twin) = change(world.path, |records| {
        unused(records, secret.hash())?;
        let twin = namesake(records, args.label.as_deref(), now);
        let mut record = Record::new(fresh_id(records)?, secret.hash(), now);
        record.hint = secret.hint();
        record.label = args.label.unwrap_or_default();
        record.rate = args.rate;
        record.burst = args.burst;
        record.quota_tokens = args.quota_tokens;
        record.quota_window = args.quota_window.unwrap_or_default();
        record.models = args.models.map(|it| it.0);
        record.expires_at = args.expires_in.and_then(|it| it.after(now));
        records.keys.push(record.clone());
        Ok((record, twin))
    })?;
    if let Some(twin) = twin {
        talk.note(&format!("{twin} has this label, too: commands then want the id"));
    }
    let shown = reveal(&record, &secret, world, (args.json, now), talk)?;
    // Only where the secret stands on the same screen already.
    if talk.attended && talk.screen.is_terminal() && !args.json && !is_own {
        talk.note("next: godex connect codex --write        (with a key of its own)");
        talk.note("      godex connect --list               (other clients)");
    }
    Ok(shown)
}

/// Another key with this label that still opens the door.
fn namesake(records: &Records, label: Option<&str>, now: Timestamp) -> Option<KeyId> {
    let label = label.filter(|it| !it.is_empty())?;
    let mut others = records.keys.iter().filter(|it| it.is_active(now));
    others.find(|it| it.label == label).map(|it| it.id.clone())
}

/// A new managed key with this label, for a command that hands it on itself.
///
/// # Errors
///
/// When the key file refuses.
pub(super) fn create(label: String, path: &Path) -> Result<(KeyId, ApiKey), Failure> {
    let secret = ApiKey::generate(&clock::random().map_err(no_randomness)?);
    let id = change(path, |records| {
        let mut record = Record::new(fresh_id(records)?, secret.hash(), clock::timestamp());
        record.hint = secret.hint();
        record.label = label;
        let id = record.id.clone();
        records.keys.push(record);
        Ok(id)
    })?;
    Ok((id, secret))
}

/// Revokes the key with this id; whether there was one.
///
/// # Errors
///
/// When the key file refuses.
pub(super) fn retire(id: &str, path: &Path) -> Result<bool, Failure> {
    change(path, |records| {
        let found = records.keys.iter_mut().find(|it| it.id.as_str() == id);
        Ok(found.is_some_and(|record| {
            record.revoked_at.get_or_insert(clock::timestamp());
            record.previous.clear();
            true
        }))
    })
}

fn list(
    json: bool,
    world: &World<'_>,
    now: Timestamp,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let records = Records::read(world.path).map_err(|it| failure(&it))?;
    if json {
        let keys: Vec<_> = records.keys.iter().map(|it| show::json(it, now)).collect();
        return talk.say(&pretty(&json!({"schema_version": 1, "keys": keys})));
    }
    if records.keys.is_empty() {
        let add = world.next("add --label my-laptop");
        talk.note(&format!("there are no keys yet: {add}"));
        return Ok(Exit::Success);
    }
    let text = show::table(&records.keys, now).render(&talk.screen);
    talk.say(&text)
}

fn update(
    args: Update,
    world: &World<'_>,
    now: Timestamp,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let record = change(world.path, |records| {
        let record = find(records, &args.named.name, world)?;
        if let Some(label) = args.label {
            record.label = label;
        }
        set(&mut record.rate, args.rate);
        set(&mut record.burst, args.burst);
        set(&mut record.quota_tokens, args.quota_tokens);
        if let Some(window) = args.quota_window {
            record.quota_window = window;
        }
        if let Some(models) = args.models {
            record.models = models.given().map(|it| it.0);
        }
        if let Some(expiry) = args.expires_in {
            record.expires_at = expiry.given().and_then(|it| it.after(now));
        }
        Ok(record.clone())
    })?;
    report(&record, args.named.json, now, talk)
}

fn revoke(
    named: &Named,
    yes: bool,
    world: &World<'_>,
    now: Timestamp,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let name = sure(world, named, yes, "revoke", "it stops working within two seconds", talk)?;
    let Some(name) = name else { return Ok(Exit::Failure) };
    let record = change(world.path, |records| {
        let record = find(records, &name, world)?;
        record.revoked_at.get_or_insert(now);
        record.previous.clear();
        Ok(record.clone())
    })?;
    report(&record, named.json, now, talk)
}

fn rotate(
    args: &Rotate,
    world: &World<'_>,
    now: Timestamp,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let until = args.grace.and_then(|it| it.after(now));
    let what = match until {
        None => "the old secret stops working within two seconds".to_owned(),
        Some(until) => format!("the old secret works until {until:.0}"),
    };
    let name = sure(world, &args.named, args.yes, "rotate", &what, talk)?;
    let Some(name) = name else { return Ok(Exit::Failure) };
    let secret = secret(args.key.as_ref(), talk)?;
    let record = change(world.path, |records| {
        unused(records, secret.hash())?;
        let record = find(records, &name, world)?;
        if !record.is_active(now) {
            let state = show::state(record, now);
            let failure = Failure::new(Exit::Usage, format!("{} is {state}", record.id));
            return Err(match record.revoked_at {
                Some(_) => failure.help(format!("make another one: {}", world.next("add"))),
                None => failure.help(world.next(&format!("update {} --expires-in 30d", record.id))),
            });
        }
        // An old secret that was still in its grace is not a reason to keep two of them.
        record.previous.clear();
        if let Some(until) = until {
            record.previous.push(Previous { hash: record.hash, until });
        }
        record.hash = secret.hash();
        record.hint = secret.hint();
        record.rotated_at = Some(now);
        Ok(record.clone())
    })?;
    reveal(&record, &secret, world, (args.named.json, now), talk)
}

/// The id that `name` stands for, once the user is sure; none if not.
fn sure(
    world: &World<'_>,
    Named { name, .. }: &Named,
    yes: bool,
    verb: &str,
    consequence: &str,
    talk: &mut Talk<'_>,
) -> Result<Option<String>, Failure> {
    let mut records = Records::read(world.path).map_err(|it| failure(&it))?;
    let record = find(&mut records, name, world)?;
    if talk.attended && !yes {
        let who = show::name(record);
        if !talk.confirms(&format!("{verb} {who}? {consequence}")) {
            talk.note("nothing was changed");
            return Ok(None);
        }
    }
    Ok(Some(record.id.to_string()))
}

/// The given secret, or a new one.
fn secret(given: Option<&ApiKey>, talk: &mut Talk<'_>) -> Result<ApiKey, Failure> {
    let Some(given) = given else {
        let random = clock::random().map_err(no_randomness)?;
        return Ok(ApiKey::generate(&random));
    };
    self::given(given, talk)
}

/// A secret of somebody's own choice, from the command line or from standard input.
///
/// # Errors
///
/// When it cannot be read, or cannot be presented in a header.
pub(super) fn given(given: &ApiKey, talk: &mut Talk<'_>) -> Result<ApiKey, Failure> {
    let mut key = given.clone();
    if given.expose() == "-" {
        let mut text = String::new();
        talk.input.take(LONGEST + 2).read_to_string(&mut text).map_err(|error| {
            Failure::new(Exit::Failure, "cannot read the key from standard input")
                .cause(error.to_string())
        })?;
        key = ApiKey::from(text.trim_end_matches(['\r', '\n']).to_owned());
    }
    let text = key.expose();
    let visible = text.bytes().all(|it| it.is_ascii_graphic());
    if text.is_empty() || text.len() as u64 > LONGEST || !visible {
        let what = "the key from --key cannot be presented in a header";
        return Err(Failure::new(Exit::Usage, what)
            .help("write 1 to 4096 visible ASCII characters without spaces"));
    }
    if text.len() < SHORT {
        talk.note("warning: a short key can be guessed; without --key a strong one is made");
    }
    Ok(key)
}

/// Refuses a secret that some key has or had: a revoked secret must stay dead.
fn unused(records: &Records, hash: KeyHash) -> Result<(), Failure> {
    let has = |it: &&Record| it.hash == hash || it.previous.iter().any(|old| old.hash == hash);
    match records.keys.iter().find(has) {
        None => Ok(()),
        Some(record) => {
            let what = format!("this secret belongs to {} already", show::name(record));
            Err(Failure::new(Exit::Usage, what)
                .help("choose another one, or leave --key out and get a strong one"))
        }
    }
}

fn fresh_id(records: &Records) -> Result<KeyId, Failure> {
    // Three bytes make a short name; more when there are many keys.
    loop {
        let random: [u8; 4] = clock::random().map_err(no_randomness)?;
        let length = if records.keys.len() < 256 { 3 } else { random.len() };
        let id = KeyId::generate(random.get(..length).unwrap_or(&random));
        if records.keys.iter().all(|it| it.id != id) {
            return Ok(id);
        }
    }
}

fn find<'a>(
    records: &'a mut Records,
    name: &str,
    world: &World<'_>,
) -> Result<&'a mut Record, Failure> {
    records.find(name).map_err(|it| unclear(&it, world))
}

/// A name that stands for no single key, in the form of all failures.
pub(super) fn unclear(error: &Unclear, world: &World<'_>) -> Failure {
    Failure::new(Exit::Usage, error.to_string()).help(match error {
        Unclear::Unknown(_) => format!("see them all: {}", world.next("list")),
        Unclear::Several { .. } => "name one by its id".to_owned(),
    })
}

/// A key file that refuses, in the form of all failures.
pub(super) fn failure(error: &store::Error) -> Failure {
    let mut failure = Failure::new(Exit::Config, error.to_string());
    if let Some(cause) = std::error::Error::source(error) {
        failure = failure.cause(cause.to_string());
    }
    error.help().into_iter().fold(failure, Failure::help)
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err calls")]
fn no_randomness(error: std::io::Error) -> Failure {
    Failure::new(Exit::Failure, "the system has no randomness for a key").cause(error.to_string())
}

fn set<T>(field: &mut Option<T>, change: Option<Change<T>>) {
    if let Some(change) = change {
        *field = change.given();
    }
}

/// Shows a new secret: alone on standard output, or inside one JSON object.
fn reveal(
    record: &Record,
    secret: &ApiKey,
    world: &World<'_>,
    (json, now): (bool, Timestamp),
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    let text = if json {
        let mut object = show::json(record, now);
        object.insert("key".to_owned(), secret.expose().into());
        pretty(&show::versioned(object))
    } else {
        talk.note(&show::summary(record, now));
        talk.note("this is the only time the key is shown; only its hash is stored:");
        format!("{}\n", secret.expose())
    };
    talk.say(&text).map_err(|failure| {
        let rotate = world.next(&format!("rotate {}", record.id));
        failure.help(format!("the key is stored, but nobody saw it: {rotate}"))
    })
}

/// Says what a key is now, after a change without a new secret.
fn report(
    record: &Record,
    json: bool,
    now: Timestamp,
    talk: &mut Talk<'_>,
) -> Result<Exit, Failure> {
    if json {
        return talk.say(&pretty(&show::versioned(show::json(record, now))));
    }
    talk.note(&show::summary(record, now));
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests;
