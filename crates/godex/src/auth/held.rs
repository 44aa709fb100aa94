//! The login in memory and how long it is good for. Time is an argument.

use std::time::Duration;

use http::HeaderValue;
use http::header::InvalidHeaderValue;
use jiff::Timestamp;

use super::Credentials;
use super::file::Tokens;
use super::token::Claims;

/// A token is renewed this long before its end, see `docs/wire.md`.
const MARGIN: Duration = Duration::from_mins(5);
/// A token whose end cannot be read is renewed at this age.
const LONGEST_USE: Duration = Duration::from_hours(8 * 24);

/// One login, ready to be sent.
pub(super) struct Held {
    pub(super) tokens: Tokens,
    pub(super) credentials: Credentials,
    pub(super) claims: Claims,
}

impl Held {
    /// Prepares `tokens` as the `generation`th.
    ///
    /// # Errors
    ///
    /// When a token or the account id has characters that no header can carry.
    pub(super) fn new(tokens: Tokens, generation: u64) -> Result<Self, InvalidHeaderValue> {
        let claims = tokens.claims();
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", tokens.access))?;
        authorization.set_sensitive(true);
        let account_id = claims.account_id.as_deref().map(HeaderValue::try_from).transpose()?;
        let credentials = Credentials { authorization, account_id, generation, issued: false };
        Ok(Self { tokens, credentials, claims })
    }

    /// Prepares tokens that the endpoint has just issued.
    ///
    /// # Errors
    ///
    /// As [`Held::new`].
    pub(super) fn issued(
        tokens: Tokens,
        generation: u64,
        now: Timestamp,
    ) -> Result<Self, InvalidHeaderValue> {
        let mut held = Self::new(tokens, generation)?;
        held.credentials.issued = true;
        if held.is_due(now) {
            // New and yet about to end: the clocks disagree, or tokens are short-lived. To go by
            // this date would mean a renewal for every request; the backend's 401 is the judge.
            held.claims.expires_at = None;
        }
        Ok(held)
    }

    /// Whether it is time to renew, and possible at all.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        if self.tokens.refresh.is_none() {
            return false;
        }
        match (self.claims.expires_at, self.tokens.last_refresh) {
            (Some(end), _) => Duration::from_secs(end).saturating_sub(MARGIN) <= since_epoch(now),
            (None, Some(at)) => since_epoch(at) + LONGEST_USE < since_epoch(now),
            (None, None) => false,
        }
    }

    /// Whether the token has not ended, as far as it tells.
    pub(super) fn is_alive(&self, now: Timestamp) -> bool {
        self.claims.expires_at.is_none_or(|end| Duration::from_secs(end) > since_epoch(now))
    }
}

fn since_epoch(at: Timestamp) -> Duration {
    at.as_duration().try_into().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::token::tests::jwt;

    const NOW: i64 = 1_795_000_000;

    fn held(exp: Option<i64>, last_refresh: Option<i64>) -> Held {
        let access = exp.map_or_else(|| "opaque".to_owned(), |exp| jwt(&json!({ "exp": exp })));
        let last_refresh = last_refresh.map(|at| Timestamp::from_second(at).unwrap());
        let tokens =
            Tokens { access, id: None, refresh: Some("r".into()), account_id: None, last_refresh };
        Held::new(tokens, 1).unwrap()
    }

    #[test]
    fn a_token_is_renewed_five_minutes_before_its_end_or_after_eight_days() {
        #[track_caller]
        fn check(exp: Option<i64>, last_refresh: Option<i64>, due: bool, alive: bool) {
            let (held, now) = (held(exp, last_refresh), Timestamp::from_second(NOW).unwrap());
            assert_eq!((held.is_due(now), held.is_alive(now)), (due, alive));
        }
        const DAY: i64 = 86_400;
        check(Some(NOW + 301), None, false, true);
        check(Some(NOW + 300), None, true, true);
        check(Some(NOW + 1), None, true, true);
        check(Some(NOW), None, true, false);
        check(Some(NOW + DAY), Some(NOW - 30 * DAY), false, true);
        check(None, Some(NOW - 8 * DAY), false, true);
        check(None, Some(NOW - 8 * DAY - 1), true, true);
        check(None, None, false, true);
    }

    #[test]
    fn without_a_refresh_token_nothing_is_due() {
        let now = Timestamp::from_second(NOW).unwrap();
        let mut tokens = held(Some(NOW - 1), None).tokens;
        tokens.refresh = None;
        assert!(!Held::new(tokens, 1).unwrap().is_due(now));
    }

    #[test]
    fn a_token_that_is_issued_about_to_end_is_used_until_it_is_refused() {
        let now = Timestamp::from_second(NOW).unwrap();
        let tokens = held(Some(NOW - 3600), Some(NOW)).tokens;
        let held = Held::issued(tokens, 2, now).unwrap();
        assert!(!held.is_due(now) && held.is_alive(now));
    }

    #[test]
    fn the_account_comes_from_the_file_then_the_id_token_then_the_access_token() {
        #[track_caller]
        fn check(file: Option<&str>, id: Option<&str>, access: Option<&str>, want: Option<&str>) {
            let claim =
                |id: &str| jwt(&json!({"https://api.openai.com/auth": {"chatgpt_account_id": id}}));
            let tokens = Tokens {
                access: access.map_or_else(|| "opaque".to_owned(), claim),
                id: id.map(claim),
                refresh: None,
                account_id: file.map(str::to_owned),
                last_refresh: None,
            };
            let held = Held::new(tokens, 1).unwrap();
            assert_eq!(held.credentials.account_id().map(|it| it.to_str().unwrap()), want);
        }
        check(Some("file"), Some("id"), Some("access"), Some("file"));
        check(None, Some("id"), Some("access"), Some("id"));
        check(None, None, Some("access"), Some("access"));
        check(None, None, None, None);
    }
}
