//! What the backend accepts, as one pure function over a request (`docs/wire.md`, request).
//!
//! Every rule of the contract has its sentence here and its row in the tests. Where the live
//! backend is known to be lenient or its answer is unknown, this is stricter on purpose.
//!
//! - `headers`: who calls, and with what.
//! - `fields`: the top level of the body.
//! - `tools`: tool definitions and the choice among them; `schema`: strict schemas.
//! - `input`: items one by one; `content`: their parts; `pairs`: calls and outputs.

mod content;
mod fields;
pub(crate) mod headers;
mod input;
mod pairs;
mod schema;
#[cfg(test)]
mod tests;
mod tools;

use http::HeaderMap;
use serde_json::Value;

use crate::refusal::Refusal;

/// Judges a call to `/responses`, except for the validity of its token.
///
/// # Errors
///
/// The answer that the backend gives instead of a stream.
pub fn check(headers: &HeaderMap, body: &Value) -> Result<(), Refusal> {
    headers::caller(headers)?;
    headers::exchange(headers)?;
    self::body(headers, body)
}

/// Judges the decoded body; the headers decide about the dialect and the account.
///
/// # Errors
///
/// The answer that the backend gives instead of a stream.
pub(crate) fn body(headers: &HeaderMap, body: &Value) -> Result<(), Refusal> {
    let Some(fields) = body.as_object() else {
        return Err(Refusal::detail("Request body must be a JSON object"));
    };
    fields::check(fields, headers::is_lite(headers))?;
    let input = fields.get("input").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let account = headers::text(headers, "chatgpt-account-id").unwrap_or_default();
    input::check(input, account)?;
    pairs::check(input)?;
    fields::instructions(fields, input)
}
