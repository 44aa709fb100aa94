//! The face of the API when something is wrong.

use godex_core::codex::fault::Refusal;

use super::*;

fn row(error: &ApiError) -> String {
    let Look { status, kind, code, param, message, wait, retry, .. } = error.look();
    let code = code.unwrap_or_default();
    let param = param.map(|it| format!(" param={it}")).unwrap_or_default();
    let wait = wait.map(|it| format!(" wait={}s", it.as_secs())).unwrap_or_default();
    let retry = retry.map(|it| format!(" retry={it}")).unwrap_or_default();
    format!("{status} {kind} {code}{param}{wait}{retry}\n    {message}\n")
}

#[test]
fn every_error_has_its_row() {
    let fault = |fault| ApiError::from(fault);
    let refused = |status, message: &str| {
        fault(Fault::Refused(Refusal { status, message: message.to_owned(), ..Refusal::default() }))
    };
    let login = |error| ApiError::from(Problem::Login(error));
    let rows = [
        ApiError::NoKey,
        ApiError::WrongKey,
        ApiError::Malformed(Malformed::TooDeep),
        ApiError::Malformed(Malformed::TooMany),
        ApiError::Refused(Refused::missing("input")),
        ApiError::TooLarge { limit: 9 },
        ApiError::TooSlow,
        ApiError::Encoding("lzma\n".to_owned()),
        ApiError::Garbled("gzip"),
        ApiError::NotJson,
        ApiError::NoRequest,
        ApiError::LineTooLong,
        ApiError::HeadTooLarge,
        ApiError::NoHost,
        ApiError::WrongHost("evil.example\u{7}".to_owned()),
        ApiError::Origin("null".to_owned()),
        ApiError::Origin("https://chat.example".to_owned()),
        ApiError::ClientGone,
        ApiError::NoRoute("/v2".to_owned()),
        ApiError::NoMethod("POST"),
        ApiError::NoModel(UnknownModel {
            asked: "x".into(),
            target: None,
            served: vec!["a".into()],
        }),
        ApiError::NoModel(UnknownModel {
            asked: "fast".into(),
            target: Some("x".into()),
            served: vec!["a".into()],
        }),
        ApiError::ModelNotAllowed("x".to_owned()),
        fault(Fault::Unauthorized),
        fault(Fault::Blocked),
        fault(Fault::PlanSpent(PlanSpent::default())),
        fault(Fault::PlanExcludes { message: String::new(), code: "usage_not_included" }),
        fault(Fault::RateLimited { message: String::new(), retry_after: Some(3) }),
        fault(Fault::Overloaded { message: "busy".into(), retry_after: None }),
        refused(400, "Store must be set to false"),
        refused(404, "Item with id 'rs_x' not found."),
        refused(403, ""),
        refused(400, "The 'x' model is not supported when using Codex with a ChatGPT account."),
        fault(Fault::Server { status: 500, message: None }),
        fault(Fault::Server { status: 200, message: Some("oops".into()) }),
        fault(Fault::Unreachable),
        fault(Fault::TimedOut),
        fault(Fault::Broken(Break::Cut)),
        fault(Fault::Broken(Break::Idle)),
        fault(Fault::Broken(Break::TooLong)),
        fault(Fault::Broken(Break::NotAStream)),
        login(auth::Error::Missing { path: "/home/ann/secret".into() }),
        login(auth::Error::Rejected(auth::Rejection::RefreshOff)),
        login(auth::Error::Unavailable { retry_after: Duration::from_secs(4) }),
        ApiError::Draining,
        ApiError::Panic,
    ];
    let table: String = rows.iter().map(row).collect();
    assert!(!table.contains("/home/ann"), "{table}");
    insta::assert_snapshot!(table);
}

#[test]
fn long_waits_are_not_for_sdks_to_sleep_through() {
    let headers = |seconds| {
        let fault = Fault::RateLimited { message: String::new(), retry_after: Some(seconds) };
        ApiError::from(fault).into_response().headers().clone()
    };
    assert_eq!(headers(3)["retry-after"], "3");
    assert_eq!(headers(3)["retry-after-ms"], "3000");
    assert!(!headers(3).contains_key("x-should-retry"));
    assert_eq!(headers(300)["x-should-retry"], "false");
}
