//! Long lists in pieces, the same everywhere: `limit`, `after`, and in the answer `next`, which is the `after` of the
//! next piece. It names a place in the order, not a thing: what ends or comes meanwhile moves nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::problem::Problem;

/// The longest piece, and how long it is if nobody says.
pub(super) const MOST: usize = 1000;

/// The longest `after`.
const LONGEST_CURSOR: usize = 2048;

/// Which piece is wanted.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Piece {
    /// At most so many; 1000 if not given.
    #[param(minimum = 1, maximum = 1000)]
    pub(super) limit: Option<usize>,
    /// `next` of the piece before.
    pub(super) after: Option<String>,
}

impl Piece {
    /// How many at most.
    pub(super) fn limit(&self) -> Result<usize, Problem> {
        let limit = self.limit.unwrap_or(MOST);
        if (1..=MOST).contains(&limit) {
            Ok(limit)
        } else {
            Err(Problem::bad_request(format!("limit: use 1 to {MOST}")))
        }
    }

    /// The place after which it begins.
    pub(super) fn after<K: DeserializeOwned>(&self) -> Result<Option<K>, Problem> {
        let Some(text) = &self.after else { return Ok(None) };
        let unknown = || Problem::bad_request("after: this is not the `next` of an earlier answer of this list");
        let bytes =
            Some(text).filter(|text| text.len() <= LONGEST_CURSOR).and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
        serde_json::from_slice(&bytes.ok_or_else(unknown)?).map_err(|_| unknown())
    }

    /// This piece of a whole list, which is in the order of its keys; and `next`, if there is more.
    pub(super) fn cut<T, K>(&self, whole: Vec<T>, key: impl Fn(&T) -> K) -> Result<(Vec<T>, Option<String>), Problem>
    where
        K: Ord + Serialize + DeserializeOwned,
    {
        let (limit, after) = (self.limit()?, self.after::<K>()?);
        let mut rest = whole.into_iter().filter(|item| after.as_ref().is_none_or(|after| key(item) > *after));
        let piece: Vec<T> = rest.by_ref().take(limit).collect();
        let next = match (rest.next(), piece.last()) {
            (Some(_more), Some(last)) => Some(cursor(&key(last))?),
            (Some(_) | None, _) => None,
        };
        Ok((piece, next))
    }
}

/// The place of this key, as `next` says it.
pub(super) fn cursor(key: &impl Serialize) -> Result<String, Problem> {
    serde_json::to_vec(key).map(|bytes| URL_SAFE_NO_PAD.encode(bytes)).map_err(|error| Problem::internal(&error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pieces(whole: &[(i64, u8)], limit: usize) -> Vec<(i64, u8)> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let piece = Piece { limit: Some(limit), after };
            let (items, next) = piece.cut(whole.to_vec(), |item| *item).unwrap();
            assert!(items.len() <= limit && (next.is_none() || items.len() == limit));
            all.extend(items);
            match next {
                Some(next) => after = Some(next),
                None => return all,
            }
        }
    }

    proptest! {
        #[test]
        fn pieces_make_up_the_whole(set in prop::collection::btree_set(any::<(i64, u8)>(), 0..50), limit in 1_usize..20) {
            let whole: Vec<_> = set.into_iter().collect();
            prop_assert_eq!(pieces(&whole, limit), whole);
        }

        #[test]
        fn no_text_of_a_client_is_more_than_refused(after in "\\PC{0,80}", limit in any::<Option<usize>>()) {
            let piece = Piece { limit, after: Some(after) };
            prop_assert!(piece.cut(vec![1_i64, 2, 3], |item| (*item, "x".to_owned())).is_err());
        }
    }

    #[test]
    fn what_goes_away_meanwhile_moves_nothing() {
        let first = Piece { limit: Some(2), after: None };
        let (_, next) = first.cut(vec![1_i64, 2, 3, 4], |item| *item).unwrap();
        let second = Piece { limit: Some(2), after: next };
        assert_eq!(second.cut(vec![3_i64, 4, 5], |item| *item).unwrap().0, [3, 4]);
    }
}
