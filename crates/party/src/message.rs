//! What a user is told.

/// One sentence, and what to do about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Message {
    /// What happened, where, and why.
    pub text: String,
    /// What to do, where the text does not say it.
    pub hint: Option<String>,
}

impl Message {
    /// A message from a text that may have a line `hint: ...`.
    pub fn new(text: impl Into<String>) -> Self {
        let text = text.into();
        match text.split_once("\nhint: ") {
            Some((text, hint)) => Self { text: text.to_owned(), hint: Some(hint.to_owned()) },
            None => Self { text, hint: None },
        }
    }

    /// The message with another hint, from the one that it has.
    #[must_use]
    pub fn with_hint(self, hint: impl FnOnce(Option<String>) -> String) -> Self {
        Self { hint: Some(hint(self.hint)), ..self }
    }
}
