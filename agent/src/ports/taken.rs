//! Which port numbers are not free: a flag for each, because ten thousand of them are looked at for each choice.

/// A set of port numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taken(Vec<bool>);

impl Taken {
    /// Whether this one is not free.
    pub(super) fn has(&self, port: u16) -> bool {
        self.0.get(usize::from(port)).copied().unwrap_or(false)
    }
}

impl FromIterator<u16> for Taken {
    fn from_iter<I: IntoIterator<Item = u16>>(ports: I) -> Self {
        let mut taken = vec![false; usize::from(u16::MAX) + 1];
        for port in ports {
            if let Some(slot) = taken.get_mut(usize::from(port)) {
                *slot = true;
            }
        }
        Self(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_is_in_it_and_nothing_else() {
        let taken: Taken = [0, 80, u16::MAX].into_iter().collect();
        let found: Vec<u16> = (0..=u16::MAX).filter(|port| taken.has(*port)).collect();
        assert_eq!(found, [0, 80, u16::MAX]);
    }
}
