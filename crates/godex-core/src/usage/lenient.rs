//! Values of usage records that may be missing, null or of another type.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use jiff::Timestamp;
use serde::Serializer;
use serde::de::{Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// One scalar of whatever type the file has.
enum Scalar<'a> {
    Nothing,
    Flag(bool),
    Number(u64),
    Text(Cow<'a, str>),
}

struct ScalarVisitor<'a>(PhantomData<&'a ()>);

impl<'de> Visitor<'de> for ScalarVisitor<'de> {
    type Value = Scalar<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Nothing)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Flag(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(u64::try_from(value).unwrap_or(0)))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and that is what a token count outside of u64 deserves"
    )]
    fn visit_f64<E>(self, value: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Number(value as u64))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nothing)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Nothing)
    }
}

fn scalar<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Scalar<'de>, D::Error> {
    deserializer.deserialize_any(ScalarVisitor(PhantomData))
}

/// A text; empty when it is anything else.
pub(super) fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Cow<'de, str>, D::Error> {
    Ok(match scalar(from)? {
        Scalar::Text(text) => text,
        Scalar::Number(number) => Cow::Owned(number.to_string()),
        Scalar::Nothing | Scalar::Flag(_) => Cow::Borrowed(""),
    })
}

/// A number, or a text that is one.
pub(super) fn maybe<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    Ok(match scalar(from)? {
        Scalar::Number(number) => Some(number),
        Scalar::Text(text) => text.parse().ok(),
        Scalar::Nothing | Scalar::Flag(_) => None,
    })
}

/// A number that fits, or zero.
pub(super) fn number<'de, D, N>(from: D) -> Result<N, D::Error>
where
    D: Deserializer<'de>,
    N: TryFrom<u64> + Default,
{
    Ok(maybe(from)?.and_then(|it| N::try_from(it).ok()).unwrap_or_default())
}

/// True only for `true`.
pub(super) fn flag<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Ok(matches!(scalar(from)?, Scalar::Flag(true)))
}

/// RFC 3339, or Unix time in seconds or milliseconds; else the epoch.
pub(super) fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    /// As seconds this is the year 5138, as milliseconds 1973.
    const SECONDS_END: i64 = 100_000_000_000;
    let time = match scalar(from)? {
        Scalar::Text(text) => text.parse().ok(),
        Scalar::Number(number) => match i64::try_from(number) {
            Ok(seconds @ ..SECONDS_END) => Timestamp::from_second(seconds).ok(),
            Ok(millis) => Timestamp::from_millisecond(millis).ok(),
            Err(_) => None,
        },
        Scalar::Nothing | Scalar::Flag(_) => None,
    };
    Ok(time.unwrap_or_default())
}

/// RFC 3339 in UTC with milliseconds.
pub(super) fn write_time<S: Serializer>(time: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(&format_args!("{time:.3}"))
}
