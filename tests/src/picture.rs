//! Pixels: what a guest shows, whichever way it was got.

use std::fmt;
use std::io::Cursor;

use anyhow::{Context as _, Result, bail};
use png::{ColorType, Transformations};

/// A colour: red, green, blue.
pub type Colour = [u8; 3];

/// What a screen shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Picture {
    /// In pixels.
    pub width: usize,
    /// In pixels.
    pub height: usize,
    pixels: Vec<Colour>,
}

impl Picture {
    /// All black.
    pub fn new(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![[0; 3]; width * height] }
    }

    /// A PNG, as `virsh screenshot` writes it.
    pub fn from_png(bytes: &[u8]) -> Result<Self> {
        let mut decoder = png::Decoder::new(Cursor::new(bytes));
        decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
        let mut reader = decoder.read_info().context("reading the PNG's head")?;
        let mut buffer = vec![0; reader.output_buffer_size().context("a PNG too large")?];
        let frame = reader.next_frame(&mut buffer).context("reading the PNG's pixels")?;
        let bytes = &buffer[..frame.buffer_size()];
        let pixels: Vec<Colour> = match frame.color_type {
            ColorType::Rgb => bytes.as_chunks().0.to_vec(),
            ColorType::Rgba => {
                bytes.as_chunks::<4>().0.iter().map(|&[red, green, blue, _]| [red, green, blue]).collect()
            }
            other => bail!("a PNG of {other:?}"),
        };
        let (width, height) = (usize::try_from(frame.width)?, usize::try_from(frame.height)?);
        if pixels.len() != width * height {
            bail!("a PNG of {width} by {height} with {} pixels", pixels.len());
        }
        Ok(Self { width, height, pixels })
    }

    /// The colour there.
    ///
    /// # Panics
    /// Outside the picture.
    pub fn at(&self, x: usize, y: usize) -> Colour {
        assert!(x < self.width && y < self.height, "({x}, {y}) is outside {self:?}");
        self.pixels[y * self.width + x]
    }

    /// Sets the colour there; nothing happens outside the picture.
    pub fn set(&mut self, x: usize, y: usize, colour: Colour) {
        if x < self.width && y < self.height {
            self.pixels[y * self.width + x] = colour;
        }
    }

    /// Whether it is what the guest shows after `gfx`: red, green / blue, white.
    pub fn is_quadrants(&self) -> bool {
        let (width, height) = (self.width, self.height);
        let expected = |x, y| match (x < width / 2, y < height / 2) {
            (true, true) => [255, 0, 0],
            (false, true) => [0, 255, 0],
            (true, false) => [0, 0, 255],
            (false, false) => [255, 255, 255],
        };
        (width, height) == (640, 480) && (0..height).all(|y| (0..width).all(|x| self.at(x, y) == expected(x, y)))
    }

    /// How many pixels differ; all of them when the sizes do.
    pub fn difference(&self, other: &Self) -> usize {
        if (self.width, self.height) != (other.width, other.height) {
            return self.pixels.len().max(other.pixels.len());
        }
        self.pixels.iter().zip(&other.pixels).filter(|(a, b)| a != b).count()
    }
}

impl fmt::Debug for Picture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let corner = |x: usize, y: usize| self.pixels.get(y * self.width + x).copied().unwrap_or_default();
        let (right, bottom) = (self.width.saturating_sub(1), self.height.saturating_sub(1));
        let corners = [corner(0, 0), corner(right, 0), corner(0, bottom), corner(right, bottom)];
        write!(f, "Picture {{ {} by {}, corners {corners:?} }}", self.width, self.height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_png_is_read() {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, 2, 1);
        encoder.set_color(ColorType::Rgb);
        encoder.write_header().unwrap().write_image_data(&[1, 2, 3, 4, 5, 6]).unwrap();
        let picture = Picture::from_png(&file).unwrap();
        assert_eq!((picture.at(0, 0), picture.at(1, 0)), ([1, 2, 3], [4, 5, 6]));
        Picture::from_png(&file[..file.len() / 2]).unwrap_err();
        Picture::from_png(b"P6").unwrap_err();
    }

    #[test]
    fn pictures_of_different_size_differ_wholly() {
        assert_eq!(Picture::new(2, 3).difference(&Picture::new(3, 3)), 9);
    }
}
