//! A backend that answers orders for microseconds: the Responses API as Codex streams it, and chat
//! as an OpenAI server would, for relays that translate nothing. It never limits and never checks.

pub mod answer;
pub mod http1;
pub mod http2;
pub mod tls;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use answer::{Answer, Framing};

use crate::body::Wire;
use crate::order::Order;

/// The list of models, in the shapes of Codex and of OpenAI at once.
const MODELS: &str = r#"{"object":"list","data":[{"id":"gpt-5.2-codex","object":"model","owned_by":"openai"}],"models":[{"slug":"gpt-5.2-codex","display_name":"gpt-5.2-codex","supported_in_api":true,"visibility":"list","priority":1}]}"#;

/// What a path asks for.
enum Asked {
    Answer(Wire),
    Models,
    Nothing,
}

impl Asked {
    fn of(path: &str) -> Self {
        let path = path.split('?').next().unwrap_or_default();
        if path.ends_with("/responses") {
            Self::Answer(Wire::Responses)
        } else if path.ends_with("/chat/completions") {
            Self::Answer(Wire::Chat)
        } else if path.ends_with("/models") {
            Self::Models
        } else {
            Self::Nothing
        }
    }
}

/// Answers that were written before, and the number that makes the next one's ids its own.
#[derive(Default)]
pub struct Backend {
    answers: RefCell<HashMap<(Wire, Framing, Order), Rc<Answer>>>,
    next: Cell<u64>,
}

impl Backend {
    fn answer(&self, wire: Wire, framing: Framing, order: Order) -> Rc<Answer> {
        let mut answers = self.answers.borrow_mut();
        let answer = answers.entry((wire, framing, order));
        Rc::clone(answer.or_insert_with(|| Rc::new(Answer::write(wire, framing, order))))
    }

    fn next_id(&self) -> u64 {
        self.next.set(self.next.get() + 1);
        self.next.get()
    }
}
