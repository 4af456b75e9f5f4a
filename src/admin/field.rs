//! What was typed into the fields of a form, and what is wrong with it.

use crate::actions::human;

/// A field as it is shown: what was typed, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub(super) struct Field {
    pub(super) value: String,
    pub(super) error: Option<String>,
    /// A page that helps, and what its link says.
    pub(super) offer: Option<(String, &'static str)>,
}

impl Field {
    /// With what was typed.
    pub(super) fn new(value: impl Into<String>) -> Self {
        Field { value: value.into(), ..Field::default() }
    }

    /// With what is wrong.
    pub(super) fn wrong(mut self, error: impl ToString) -> Self {
        self.error = Some(human::sentence(&error.to_string()));
        self
    }

    /// With a page that helps.
    pub(super) fn offer(mut self, page: &str, text: &'static str) -> Self {
        self.offer = Some((page.to_owned(), text));
        self
    }
}

/// Something that is wrong in a form, and the id of the field.
pub(super) struct Wrong {
    pub(super) id: String,
    pub(super) text: String,
}

/// The mistakes in these fields.
pub(super) fn wrong<const N: usize>(fields: [(&str, &Field); N]) -> Vec<Wrong> {
    let wrong = fields.into_iter().filter_map(|(id, field)| {
        field.error.as_ref().map(|error| Wrong { id: id.to_owned(), text: error.clone() })
    });
    wrong.collect()
}
