//! Names that Keras makes of others.

/// Keras's name for the group of a class: `LocallyConnected2D` is `locally_connected2d`, `ReLU` is `re_lu`.
pub(crate) fn snake_case(class: &str) -> String {
    let letters: Vec<char> = class.chars().collect();
    let mut snake = String::new();
    for (i, &letter) in letters.iter().enumerate() {
        let previous = i.checked_sub(1).and_then(|i| letters.get(i));
        let next_is_lower = letters.get(i + 1).is_some_and(char::is_ascii_lowercase);
        // An underscore stands before a capital that begins a word, or that follows a small letter.
        if letter.is_ascii_uppercase() && previous.is_some_and(|p| p.is_ascii_lowercase() || next_is_lower) {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}
