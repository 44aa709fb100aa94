//! Which models there are and which one a request means. The list is the account's own,
//! fetched from the backend; nothing here decides what is served.
//! Source: `docs/wire.md#models`.

use std::fmt;

use serde::Deserialize;

/// Efforts a model's name may end in.
const EFFORTS: &[&str] = &["none", "minimal", "low", "medium", "high", "xhigh", "max", "ultra"];

/// When a model came to be is not known to the backend's list; clients want a number.
pub const CREATED: u64 = 1_767_225_600;

/// One model of the account.
#[derive(Debug, Clone, Deserialize)]
pub struct Model {
    /// The name to send.
    pub slug: String,
    /// Whether people are meant to see it.
    #[serde(default)]
    pub visibility: Option<String>,
    /// The lower, the sooner the Codex CLI picks it.
    #[serde(default)]
    pub priority: Option<i64>,
}

impl Model {
    fn listed(&self) -> bool {
        self.visibility.as_deref().is_none_or(|it| it == "list")
    }
}

/// The models of the account.
#[derive(Debug, Clone)]
pub struct Catalogue {
    models: Vec<Model>,
    known: bool,
}

/// The model a request means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// The name to send.
    pub upstream: String,
    /// The effort that the name asked for.
    pub effort: Option<String>,
    /// The name the client used, or the default when it used none.
    pub shown: String,
    /// Whether `upstream` stands in for the default, which the backend does not list.
    pub stand_in: bool,
}

/// A model that the account has not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct UnknownModel {
    /// What was asked for.
    pub asked: String,
    /// What it stands for, if it is an alias.
    pub target: Option<String>,
    /// What there is.
    pub served: Vec<String>,
}

impl fmt::Display for UnknownModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { asked, target, served } = self;
        match target {
            Some(target) => write!(
                f,
                "The model `{asked}` stands for `{target}` here (--model-alias), which the account does not have."
            )?,
            None => write!(f, "The model `{asked}` does not exist or is not served here.")?,
        }
        write!(f, " Models served: {}.", served.join(", "))
    }
}

/// The names this proxy adds to the account's.
#[derive(Debug, Clone)]
pub struct Names {
    /// `--model`: always works.
    pub default: String,
    /// `--model-alias`: from, to.
    pub aliases: Vec<(String, String)>,
}

#[derive(Deserialize)]
struct Listing {
    models: Vec<Model>,
}

impl Catalogue {
    /// Reads the backend's list; `None` when it is no such list or empty.
    pub fn parse(json: &[u8]) -> Option<Self> {
        let listing: Listing = serde_json::from_slice(json).ok()?;
        (!listing.models.is_empty()).then_some(Self { models: listing.models, known: true })
    }

    /// What the Codex CLI 0.169.0 carries with it, for as long as the backend has not
    /// answered.
    pub fn bundled() -> Self {
        const LISTED: [&str; 9] = [
            "gpt-6.1-sol",
            "gpt-6-astra",
            "gpt-6.1-terra",
            "gpt-6-sol",
            "gpt-6-luna",
            "gpt-5.6-sol",
            "gpt-5.6-terra",
            "gpt-5.6-luna",
            "gpt-5.5",
        ];
        let model = |(priority, slug): (i64, &str)| Model {
            slug: slug.to_owned(),
            visibility: None,
            priority: Some(priority),
        };
        Self { models: (1..).zip(LISTED).map(model).collect(), known: false }
    }

    /// Whether the list came from the backend.
    pub fn known(&self) -> bool {
        self.known
    }

    /// Whether a name is on the list, hidden ones included.
    pub fn has(&self, slug: &str) -> bool {
        self.models.iter().any(|model| model.slug == slug)
    }

    /// The listed model of lowest priority number: the Codex CLI's own default.
    pub fn first(&self) -> Option<&str> {
        let listed = self.models.iter().filter(|model| model.listed());
        listed
            .min_by_key(|model| model.priority.unwrap_or(i64::MAX))
            .map(|model| model.slug.as_str())
    }

    /// The names a client may use, in the order of the list.
    pub fn served(&self, names: &Names) -> Vec<String> {
        let mut served: Vec<String> =
            self.models.iter().filter(|it| it.listed()).map(|it| it.slug.clone()).collect();
        let aliases = names.aliases.iter().map(|(from, _)| from);
        let aliases = aliases.filter(|from| self.dead_end(names, from).is_none());
        for extra in std::iter::once(&names.default).chain(aliases) {
            if !served.contains(extra) {
                served.push(extra.clone());
            }
        }
        served
    }

    /// What an alias stands for, if the account's list is known and has nothing of the kind.
    pub fn dead_end<'n>(&self, names: &'n Names, alias: &str) -> Option<&'n str> {
        let (_, target) = names.aliases.iter().find(|(from, _)| from == alias)?;
        let found = self.find(names, alias)?;
        (self.known && !self.has(&found.upstream)).then_some(target)
    }

    /// The model a request means.
    ///
    /// # Errors
    ///
    /// When the account's list is known and the model is not on it.
    pub fn choose(&self, names: &Names, asked: Option<&str>) -> Result<Chosen, UnknownModel> {
        let shown =
            asked.map(str::trim).filter(|it| !it.is_empty()).unwrap_or(&names.default).to_owned();
        let found =
            self.find(names, &shown).or_else(|| Self::split(&shown, |it| self.find(names, it)));
        let Found { upstream, effort, stand_in } = found.unwrap_or_else(|| Found::of(&shown));
        if self.known && !self.has(&upstream) {
            return Err(self.unknown(names, shown));
        }
        Ok(Chosen { upstream, effort, shown, stand_in })
    }

    /// Why nothing answers to a name.
    pub fn unknown(&self, names: &Names, asked: String) -> UnknownModel {
        let target = self.dead_end(names, &asked).map(str::to_owned);
        UnknownModel { asked, target, served: self.served(names) }
    }

    /// A name that needs no taking apart, or an alias.
    fn find(&self, names: &Names, name: &str) -> Option<Found> {
        let Some((_, target)) = names.aliases.iter().find(|(from, _)| from == name) else {
            return self.find_own(names, name);
        };
        let plain = |name: &str| self.find_own(names, name);
        Some(
            plain(target)
                .or_else(|| Self::split(target, plain))
                .unwrap_or_else(|| Found::of(target)),
        )
    }

    /// A model of the list, or the default.
    fn find_own(&self, names: &Names, name: &str) -> Option<Found> {
        if self.has(name) {
            return Some(Found::of(name));
        }
        if name != names.default {
            return None;
        }
        match self.first() {
            Some(first) if self.known => Some(Found { stand_in: true, ..Found::of(first) }),
            Some(_) | None => Some(Found::of(name)),
        }
    }

    /// Takes the effort off a name: `base(effort)` always, `base-effort` only where the base is
    /// found.
    fn split(name: &str, find: impl Fn(&str) -> Option<Found>) -> Option<Found> {
        let parenthesised = name.strip_suffix(')').and_then(|it| it.split_once('('));
        let (base, effort) = parenthesised.or_else(|| name.rsplit_once('-'))?;
        if !EFFORTS.contains(&effort) {
            return None;
        }
        let found = find(base).or_else(|| parenthesised.map(|_| Found::of(base)))?;
        Some(Found { effort: Some(effort.to_owned()), ..found })
    }
}

/// What a name stands for.
struct Found {
    upstream: String,
    effort: Option<String>,
    stand_in: bool,
}

impl Found {
    fn of(name: &str) -> Self {
        Self { upstream: name.to_owned(), effort: None, stand_in: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            default: "gpt-5.2-codex".into(),
            aliases: [
                ("fast", "gpt-5.5"),
                ("deep", "gpt-5.5-high"),
                ("o", "gpt-5.2-codex(low)"),
                ("a", "a-low"),
            ]
            .map(|(from, to)| (from.to_owned(), to.to_owned()))
            .into(),
        }
    }

    fn account() -> Catalogue {
        Catalogue::parse(
            br#"{"models":[{"slug":"gpt-5.5","visibility":"list","priority":9},
            {"slug":"gpt-6.1-sol","visibility":"list","priority":1,"context_window":272000},
            {"slug":"secret","visibility":"hide","priority":0}]}"#,
        )
        .unwrap()
    }

    #[test]
    fn a_name_means_a_model() {
        #[track_caller]
        fn check(asked: Option<&str>, upstream: &str, effort: Option<&str>, stand_in: bool) {
            let chosen = account().choose(&names(), asked).unwrap();
            assert_eq!(
                (chosen.upstream.as_str(), chosen.effort.as_deref(), chosen.stand_in),
                (upstream, effort, stand_in)
            );
        }
        check(Some("gpt-5.5"), "gpt-5.5", None, false);
        check(Some("secret"), "secret", None, false);
        check(Some("fast"), "gpt-5.5", None, false);
        check(Some("fast-low"), "gpt-5.5", Some("low"), false);
        check(Some("deep"), "gpt-5.5", Some("high"), false);
        check(Some("deep-low"), "gpt-5.5", Some("low"), false);
        check(Some("o"), "gpt-6.1-sol", Some("low"), true);
        check(Some("gpt-5.5-high"), "gpt-5.5", Some("high"), false);
        check(Some("gpt-5.5(xhigh)"), "gpt-5.5", Some("xhigh"), false);
        check(Some("gpt-5.2-codex"), "gpt-6.1-sol", None, true);
        check(Some("gpt-5.2-codex-high"), "gpt-6.1-sol", Some("high"), true);
        check(None, "gpt-6.1-sol", None, true);
        check(Some(""), "gpt-6.1-sol", None, true);
    }

    #[test]
    fn an_unknown_name_is_refused_with_what_is_served() {
        let error = account().choose(&names(), Some("gpt-4o")).unwrap_err();
        assert_eq!(error.served, ["gpt-5.5", "gpt-6.1-sol", "gpt-5.2-codex", "fast", "deep", "o"]);
        for name in ["gpt-9-high", "gpt-9(high)", "a", "gpt-5.5-", "gpt-5.5-higher", "-high"] {
            assert!(account().choose(&names(), Some(name)).is_err(), "{name}");
        }
    }

    #[test]
    fn an_alias_of_nothing_is_told_with_what_it_stands_for() {
        let error = account().choose(&names(), Some("a")).unwrap_err();
        assert_eq!(error.target.as_deref(), Some("a-low"));
        assert!(error.to_string().starts_with("The model `a` stands for `a-low` here"), "{error}");
        assert_eq!(account().dead_end(&names(), "o"), None, "the default always works");
        assert_eq!(Catalogue::bundled().dead_end(&names(), "a"), None, "nobody knows yet");
    }

    #[test]
    fn without_the_accounts_list_names_go_upstream_as_they_are() {
        let bundled = Catalogue::bundled();
        for name in ["gpt-4o", "gpt-5.2-codex", "gpt-9-high"] {
            assert_eq!(bundled.choose(&names(), Some(name)).unwrap().upstream, name);
        }
        assert_eq!(
            bundled.choose(&names(), Some("gpt-9(high)")).unwrap().effort.as_deref(),
            Some("high")
        );
        assert_eq!(bundled.first(), Some("gpt-6.1-sol"));
    }

    #[test]
    fn the_answer_shows_the_name_the_client_used() {
        assert_eq!(account().choose(&names(), Some("fast-low")).unwrap().shown, "fast-low");
        assert_eq!(account().choose(&names(), None).unwrap().shown, "gpt-5.2-codex");
    }
}
