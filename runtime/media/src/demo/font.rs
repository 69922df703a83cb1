//! A small bitmap font for the clock and the frame number: 5 by 7, one byte a row, the leftmost pixel is bit 4.

/// Width of a character, in cells.
pub(crate) const WIDTH: usize = 5;
/// Height of a character, in cells.
pub(crate) const HEIGHT: usize = 7;

const DIGITS: [[u8; HEIGHT]; 10] = [
    [0b01110, 0b10001, 0b10011, 0b10101, 0b11001, 0b10001, 0b01110],
    [0b00100, 0b01100, 0b00100, 0b00100, 0b00100, 0b00100, 0b01110],
    [0b01110, 0b10001, 0b00001, 0b00010, 0b00100, 0b01000, 0b11111],
    [0b11111, 0b00010, 0b00100, 0b00010, 0b00001, 0b10001, 0b01110],
    [0b00010, 0b00110, 0b01010, 0b10010, 0b11111, 0b00010, 0b00010],
    [0b11111, 0b10000, 0b11110, 0b00001, 0b00001, 0b10001, 0b01110],
    [0b00110, 0b01000, 0b10000, 0b11110, 0b10001, 0b10001, 0b01110],
    [0b11111, 0b00001, 0b00010, 0b00100, 0b01000, 0b01000, 0b01000],
    [0b01110, 0b10001, 0b10001, 0b01110, 0b10001, 0b10001, 0b01110],
    [0b01110, 0b10001, 0b10001, 0b01111, 0b00001, 0b00010, 0b01100],
];

/// The rows of a character; what the font does not have is a space.
pub(crate) fn rows(c: char) -> [u8; HEIGHT] {
    match c {
        '0'..='9' => DIGITS[c as usize - '0' as usize],
        ':' => [0, 0b00100, 0b00100, 0, 0b00100, 0b00100, 0],
        '#' => [0b01010, 0b01010, 0b11111, 0b01010, 0b11111, 0b01010, 0b01010],
        _ => [0; HEIGHT],
    }
}
