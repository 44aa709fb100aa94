//! The key file: its form, how a key is found in it, and how it is changed.
//!
//! ```json
//! {"version": 2, "keys": [{"id": "key_7f3a1c", "label": "agent-a", "hash": "sha256:…", …}]}
//! ```
//!
//! Version 1 is read as well: there, an empty rate, a burst of 0 and a quota of 0 mean "not set".
//! From version 2 a quota of 0 means "none, whatever the proxy's default is". Fields that this
//! version does not know are kept.

use std::fs;
use std::io;
use std::path::Path;

use godex_core::key::{KeyHash, KeyId};
use godex_core::policy::quota::{Quota, Window};
use godex_core::policy::rate::{Burst, Rate};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

use super::{Allowance, Error, Key, Limits};
use crate::store::file;

/// The form that is written.
const VERSION: u64 = 2;

/// All keys, revoked ones included.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Records {
    version: u64,
    /// In the order in which they were made.
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) keys: Vec<Record>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// One key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Its public name; it never changes.
    pub(crate) id: KeyId,
    /// What its owner calls it.
    #[serde(default, deserialize_with = "or_default")]
    pub(crate) label: String,
    /// The hash of its secret.
    pub(crate) hash: KeyHash,
    /// The end of its secret, to recognise it by.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) hint: String,
    /// When it was made.
    #[serde(default, with = "time", skip_serializing_if = "Option::is_none")]
    pub(crate) created_at: Option<Timestamp>,
    /// When it was revoked.
    #[serde(default, with = "time", skip_serializing_if = "Option::is_none")]
    pub(crate) revoked_at: Option<Timestamp>,
    /// When it stops being valid.
    #[serde(default, with = "time", skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<Timestamp>,
    /// When it last got a new secret.
    #[serde(default, with = "time", skip_serializing_if = "Option::is_none")]
    pub(crate) rotated_at: Option<Timestamp>,
    /// Its own rate.
    #[serde(default, deserialize_with = "set_rate", skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<Rate>,
    /// Its own burst.
    #[serde(default, deserialize_with = "set_burst", skip_serializing_if = "Option::is_none")]
    pub(crate) burst: Option<Burst>,
    /// Its own quota; 0 for none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) quota_tokens: Option<u64>,
    /// When its quota comes back.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_lifelong")]
    pub(crate) quota_window: Window,
    /// The models it may ask for; all if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) models: Option<Vec<String>>,
    /// Secrets that it had before and that are still valid.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub(crate) previous: Vec<Previous>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// A secret that was replaced.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Previous {
    /// Its hash.
    pub(crate) hash: KeyHash,
    /// When it stops being valid.
    #[serde(with = "moment")]
    pub(crate) until: Timestamp,
}

/// A name that stands for no key, or for several.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unclear {
    /// No id, label or beginning of an id.
    #[error("there is no key `{0}`")]
    Unknown(String),
    /// Several keys.
    #[error("`{name}` means several keys: {}", ids.join(", "))]
    Several {
        /// What was asked for.
        name: String,
        /// What it may mean.
        ids: Vec<String>,
    },
}

impl Record {
    /// A key without limits of its own.
    pub(crate) fn new(id: KeyId, hash: KeyHash, now: Timestamp) -> Self {
        Self {
            id,
            label: String::new(),
            hash,
            hint: String::new(),
            created_at: Some(now),
            revoked_at: None,
            expires_at: None,
            rotated_at: None,
            rate: None,
            burst: None,
            quota_tokens: None,
            quota_window: Window::None,
            models: None,
            previous: Vec::new(),
            rest: Map::new(),
        }
    }

    /// The key as the request path knows it.
    pub(crate) fn key(&self) -> Key {
        let limits = Limits { rate: self.rate, burst: self.burst, quota: self.allowance() };
        let (label, models) = (self.label.as_str().into(), self.models.clone());
        Key { id: self.id.clone(), label, limits, models }
    }

    /// Its quota.
    pub(crate) fn allowance(&self) -> Allowance {
        match self.quota_tokens {
            None => Allowance::Default,
            Some(tokens) => Quota::new(tokens, self.quota_window)
                .map_or(Allowance::Unlimited, Allowance::Tokens),
        }
    }

    /// Whether its secret opens the door at `now`.
    pub(crate) fn is_active(&self, now: Timestamp) -> bool {
        self.revoked_at.is_none() && self.expires_at.is_none_or(|until| now < until)
    }
}

impl Records {
    /// Reads the key file. A file that does not exist has no keys.
    ///
    /// # Errors
    ///
    /// When the file cannot be read, is damaged or too new.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        match fs::read(path) {
            Ok(bytes) => Self::parse(path, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::empty()),
            Err(source) => Err(Error::File { doing: "read", path: path.to_owned(), source }),
        }
    }

    /// Changes the key file: under its lock, from what it says then, as a whole. If `change`
    /// refuses, nothing is written.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or written, or whatever `change` answers.
    pub(crate) fn change<T, E: From<Error>>(
        path: &Path,
        change: impl FnOnce(&mut Self) -> Result<T, E>,
    ) -> Result<T, E> {
        let failed =
            |doing| move |source| E::from(Error::File { doing, path: path.to_owned(), source });
        if let Some(folder) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(failed("create the folder of"))?;
        }
        let _lock = file::Lock::acquire(path).map_err(failed("lock"))?;
        let mut records = Self::read(path)?;
        let answer = change(&mut records)?;
        records.version = VERSION;
        let mut bytes = serde_json::to_vec_pretty(&records)
            .map_err(|error| failed("write")(io::Error::other(error)))?;
        bytes.push(b'\n');
        file::replace(path, &bytes, file::PRIVATE).map_err(failed("write"))?;
        Ok(answer)
    }

    /// The key that `name` means: its id, its label, or the beginning of its id. A label of an
    /// active key wins over the same label of a revoked one.
    ///
    /// # Errors
    ///
    /// When it means none or several.
    pub(crate) fn find(&mut self, name: &str) -> Result<&mut Record, Unclear> {
        let place = self.place(name)?;
        self.keys.get_mut(place).ok_or_else(|| Unclear::Unknown(name.to_owned()))
    }

    fn place(&self, name: &str) -> Result<usize, Unclear> {
        let matching = |test: &dyn Fn(&Record) -> bool| -> Vec<usize> {
            let all = self.keys.iter().enumerate();
            all.filter(|(_, it)| test(it)).map(|(place, _)| place).collect()
        };
        let ways: [&dyn Fn(&Record) -> bool; 4] = [
            &|it| it.id.as_str() == name,
            &|it| it.label == name && it.revoked_at.is_none(),
            &|it| it.label == name,
            &|it| {
                it.id.as_str().starts_with(name)
                    || it.id.as_str().strip_prefix("key_").is_some_and(|it| it.starts_with(name))
            },
        ];
        let unknown = || Unclear::Unknown(name.to_owned());
        let found = ways.into_iter().map(matching).find(|it| !it.is_empty() && !name.is_empty());
        match found.ok_or_else(unknown)?.as_slice() {
            [place] => Ok(*place),
            several => {
                let ids = several.iter().filter_map(|&it| self.keys.get(it));
                let ids = ids.map(|it| it.id.to_string()).collect();
                Err(Unclear::Several { name: name.to_owned(), ids })
            }
        }
    }

    /// No keys.
    pub(crate) fn empty() -> Self {
        Self { version: VERSION, keys: Vec::new(), rest: Map::new() }
    }

    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        /// Only the version, so that a newer file is not called damaged.
        #[derive(Deserialize)]
        #[serde(expecting = "an object with a version and keys")]
        struct Version {
            version: u64,
        }
        let damaged = |why: String| Error::Damaged { path: path.to_owned(), why };
        let Version { version } =
            serde_json::from_slice(bytes).map_err(|it| damaged(it.to_string()))?;
        if version > VERSION {
            return Err(Error::TooNew { path: path.to_owned(), version });
        }
        let mut records: Self =
            serde_json::from_slice(bytes).map_err(|it| damaged(it.to_string()))?;
        if version < VERSION {
            for record in &mut records.keys {
                record.quota_tokens = record.quota_tokens.filter(|&tokens| tokens > 0);
            }
        }
        records.check().map_err(damaged)?;
        Ok(records)
    }

    /// What each key alone cannot know: ids and secrets name one key each.
    fn check(&self) -> Result<(), String> {
        let (mut ids, mut hashes) =
            (std::collections::HashSet::new(), std::collections::HashSet::new());
        for record in &self.keys {
            if record.id.as_str().is_empty() {
                return Err("a key has no id".to_owned());
            }
            if !ids.insert(&record.id) {
                return Err(format!("two keys have the id `{}`", record.id));
            }
            if record.revoked_at.is_none() && !hashes.insert(record.hash) {
                return Err(format!("the key `{}` has the secret of another key", record.id));
            }
        }
        Ok(())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form that serde calls")]
fn is_lifelong(window: &Window) -> bool {
    matches!(window, Window::None)
}

/// Null is the same as a missing field.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// An empty rate is none; a wrong one is an error, never "unlimited".
fn set_rate<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Rate>, D::Error> {
    let text = Option::<String>::deserialize(from)?.filter(|it| !it.is_empty());
    text.map(|it| it.parse().map_err(serde::de::Error::custom)).transpose()
}

/// A burst of zero is none.
fn set_burst<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Burst>, D::Error> {
    Ok(Option::<u32>::deserialize(from)?.and_then(Burst::new))
}

/// A time that may be missing, null, empty, or the zero time of version 1.
mod time {
    use super::{Deserialize, Deserializer, Serializer, Timestamp};

    #[expect(clippy::ref_option, reason = "the form that serde calls")]
    pub(super) fn serialize<S: Serializer>(
        time: &Option<Timestamp>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::moment::serialize(time, to),
            None => to.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Timestamp>, D::Error> {
        /// Older files may have Unix seconds.
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Time {
            Text(String),
            Seconds(i64),
        }
        let time = match Option::<Time>::deserialize(from)? {
            None | Some(Time::Seconds(0)) => return Ok(None),
            Some(Time::Text(it)) if it.is_empty() || it.starts_with("0001-01-01T00:00:00") => {
                return Ok(None);
            }
            Some(Time::Text(text)) => text.parse(),
            Some(Time::Seconds(seconds)) => Timestamp::from_second(seconds),
        };
        time.map(Some).map_err(serde::de::Error::custom)
    }
}

/// A time in RFC 3339, to the millisecond.
mod moment {
    use super::{Deserialize, Deserializer, Serializer, Timestamp};

    pub(super) fn serialize<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&format_args!("{time:.3}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}
