//! Names that Keras derives from others.

/// Keras's name of the group of a class: `locally_connected2d` for `LocallyConnected2D`, `re_lu` for `ReLU`.
pub(crate) fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().collect();
    let mut snake = String::new();
    for (i, &letter) in letters.iter().enumerate() {
        let previous = i.checked_sub(1).and_then(|i| letters.get(i));
        let next_is_lower = letters.get(i + 1).is_some_and(char::is_ascii_lowercase);
        // There is an underscore before a capital letter that begins a word or follows a small letter.
        if letter.is_ascii_uppercase() && previous.is_some_and(|p| p.is_ascii_lowercase() || next_is_lower) {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
