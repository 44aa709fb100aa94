//! Why a request cannot be carried, and where in it the reason stands.

use std::fmt;

/// Why a request cannot be carried: the parameter and what to do about it.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// The path of the parameter, as the client wrote it.
    pub param: String,
    /// What is wrong and how to write it.
    pub message: String,
    /// OpenAI's error code, where there is one.
    pub code: Option<&'static str>,
}

shape!(Refused, it => "Refused({:?}, {} bytes)", it.code, it.message.len());

impl Refused {
    /// A refusal of one parameter.
    pub fn new(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: param.into(), message: message.into(), code: None }
    }

    /// A refusal of a parameter whose value has the wrong type.
    pub fn kind(param: impl fmt::Display, expected: &str) -> Self {
        let mut refused = Self::new(
            param.to_string(),
            format!("Invalid type for '{param}': expected {expected}."),
        );
        refused.code = Some("invalid_type");
        refused
    }

    /// A refusal of a request that lacks a parameter.
    pub fn missing(param: impl fmt::Display) -> Self {
        let message = format!("Missing required parameter: '{param}'.");
        let mut refused = Self::new(param.to_string(), message);
        refused.code = Some("missing_required_parameter");
        refused
    }
}

/// Where in a request something stands. It is written out only in a refusal: most requests
/// have none.
#[derive(Debug, Clone, Copy)]
pub enum Place<'p> {
    /// A top-level parameter.
    Root(&'p str),
    /// An element of a list.
    Index(&'p Place<'p>, usize),
    /// A member of an object.
    Member(&'p Place<'p>, &'p str),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(name) => f.write_str(name),
            Self::Index(list, index) => write!(f, "{list}[{index}]"),
            Self::Member(object, name) => write!(f, "{object}.{name}"),
        }
    }
}
