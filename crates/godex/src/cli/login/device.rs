//! Signing in with a code that is entered in a browser on any machine.

use std::time::Duration;

use super::{failed, too_late};
use crate::auth::signin::{Device, Error, Issuer, NewLogin};
use crate::cli::report::{Exit, Failure};
use crate::cli::talk::Talk;

/// Shows a code and waits until somebody has entered it.
///
/// # Errors
///
/// When the issuer gives no code, somebody refuses, or nobody enters it within `patience`.
pub(super) async fn sign_in(
    issuer: &Issuer,
    patience: Duration,
    talk: &mut Talk<'_>,
) -> Result<NewLogin, Failure> {
    let device = Device::begin(issuer).await.map_err(|error| {
        let off = matches!(error, Error::Refused { status: http::StatusCode::NOT_FOUND, .. });
        let failure = failed(&error);
        if off {
            failure.help("or sign in with a browser: godex login --no-browser")
        } else {
            failure
        }
    })?;
    talk.note("sign in to ChatGPT in any browser, on any machine:\n");
    talk.note(&format!("  1. open        {}", Device::page(issuer)));
    talk.note(&format!("  2. enter code  {}\n", device.code()));
    talk.note("the code is good for 15 minutes; waiting … (Ctrl-C gives up)");
    talk.note("Device codes are used for phishing: never give this one to anybody.");
    let finishing = tokio::time::timeout(patience, device.finish(issuer));
    match finishing.await {
        Err(_) => Err(too_late(patience)),
        Ok(Ok(login)) => Ok(login),
        Ok(Err(Error::Refused { code: Some(code), .. })) if code == "access_denied" => {
            Err(Failure::new(Exit::Failure, "the sign-in was refused")
                .cause("somebody has denied the code in the browser")
                .help("godex login --device   (shows a new code)"))
        }
        Ok(Err(Error::Refused { code: Some(code), .. })) if code.contains("expired") => {
            Err(Failure::new(Exit::Failure, "the code has expired")
                .cause("it was not entered in time, or it was used already")
                .help("godex login --device   (shows a new code)"))
        }
        Ok(Err(error)) => Err(failed(&error)),
    }
}
