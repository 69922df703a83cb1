//! Questions about records.

use crate::StoreError;
use crate::record::check_collection;
use rusqlite::types::Value as Sql;
use serde_json::Value;
use uuid::Uuid;

/// The most records of one answer.
pub const MAX_LIMIT: usize = 10_000;

/// The most conditions on fields, and the longest path, of one query.
const MAX_FIELDS: usize = 16;

/// What the order of an answer is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Order {
    /// That of appending, whatever the records' times are.
    #[default]
    Appended,
    /// That of the records' times; of the same time, that of appending. There is an index for one collection: give it.
    /// [`Query::after`] and [`Query::before`] are about appending here too: the next page begins at the last record's
    /// time, which several may have.
    Time,
}

/// Which end comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Direction {
    /// The newest first.
    #[default]
    Newest,
    /// The oldest first.
    Oldest,
}

/// A field of the JSON must have a value.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldEquals {
    /// The keys from the outermost object to the field; none has `"` or `\`.
    pub path: Vec<String>,
    /// A string, number, bool or null. Null is a field that is there and null.
    pub value: Value,
}

/// Which records. All conditions hold at once; the default is every record, the newest first, at most 100.
#[derive(Debug, Clone, PartialEq)]
pub struct Query {
    /// Only this collection.
    pub collection: Option<String>,
    /// Only the record with this deduplication key, of which a collection has one at most: give the collection. There is an
    /// index for it.
    pub dedup: Option<String>,
    /// Only records with a time from here on, Unix milliseconds.
    pub from: Option<i64>,
    /// Only records with a time before this, Unix milliseconds.
    pub until: Option<i64>,
    /// Only records appended after this id, which need not be there any more.
    pub after: Option<Uuid>,
    /// Only records appended before this id, which need not be there any more.
    pub before: Option<Uuid>,
    /// Only records with these values in their JSON. There is no index for them: give a collection or a time as well.
    pub fields: Vec<FieldEquals>,
    /// What the order is.
    pub order: Order,
    /// Which end comes first.
    pub direction: Direction,
    /// The most records, up to [`MAX_LIMIT`]. The answer is cut after some 32 MiB of JSON as well: the one that is
    /// empty is the last one.
    pub limit: usize,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            collection: None,
            dedup: None,
            from: None,
            until: None,
            after: None,
            before: None,
            fields: Vec::new(),
            order: Order::default(),
            direction: Direction::default(),
            limit: 100,
        }
    }
}

impl Query {
    /// Everything of one collection.
    #[must_use]
    pub fn collection(name: impl Into<String>) -> Self {
        Self { collection: Some(name.into()), ..Self::default() }
    }

    /// The condition as SQL for `WHERE`, and its parameters.
    pub(crate) fn condition(&self) -> Result<(String, Vec<Sql>), StoreError> {
        let mut sql = String::from("1");
        let mut values = Vec::new();
        let mut and = |text: &str, bound: Vec<Sql>| {
            sql.push_str(" AND ");
            sql.push_str(text);
            values.extend(bound);
        };
        if let Some(name) = &self.collection {
            check_collection(name).map_err(StoreError::BadQuery)?;
            and("collection = ?", vec![Sql::Text(name.clone())]);
        }
        if let Some(key) = &self.dedup {
            if self.collection.is_none() {
                let message = "a deduplication key is one of a collection: give the collection as well";
                return Err(StoreError::BadQuery(message.to_owned()));
            }
            and("dedup = ?", vec![Sql::Text(key.clone())]);
        }
        if let Some(from) = self.from {
            and("time >= ?", vec![Sql::Integer(from)]);
        }
        if let Some(until) = self.until {
            and("time < ?", vec![Sql::Integer(until)]);
        }
        // Ids rise with the sequence, so the id's place is found even when its record is gone.
        if let Some(id) = self.after {
            let place = "seq > coalesce((SELECT seq FROM records WHERE id <= ? ORDER BY id DESC LIMIT 1), 0)";
            and(place, vec![Sql::Blob(id.as_bytes().to_vec())]);
        }
        if let Some(id) = self.before {
            let place = "seq < coalesce((SELECT seq FROM records WHERE id >= ? ORDER BY id LIMIT 1), \
                         9223372036854775807)";
            and(place, vec![Sql::Blob(id.as_bytes().to_vec())]);
        }
        if self.fields.len() > MAX_FIELDS {
            return Err(StoreError::BadQuery(format!("more than {MAX_FIELDS} fields: ask for fewer")));
        }
        for field in &self.fields {
            let (text, bound) = field.condition()?;
            and(text, bound);
        }
        Ok((sql, values))
    }

    /// The whole as SQL that gives sequence numbers in order.
    pub(crate) fn select(&self) -> Result<(String, Vec<Sql>), StoreError> {
        let (condition, mut values) = self.condition()?;
        let order = match (self.order, self.direction) {
            (Order::Appended, Direction::Newest) => "seq DESC",
            (Order::Appended, Direction::Oldest) => "seq",
            (Order::Time, Direction::Newest) => "time DESC, seq DESC",
            (Order::Time, Direction::Oldest) => "time, seq",
        };
        let limit = self.limit.min(MAX_LIMIT);
        values.push(Sql::Integer(i64::try_from(limit).unwrap_or(i64::MAX)));
        let columns = "seq, id, collection, time, stored, json";
        Ok((format!("SELECT {columns} FROM records WHERE {condition} ORDER BY {order} LIMIT ?"), values))
    }
}

impl FieldEquals {
    fn condition(&self) -> Result<(&'static str, Vec<Sql>), StoreError> {
        let bad = |message: &str| Err(StoreError::BadQuery(message.to_owned()));
        if self.path.is_empty() || self.path.len() > MAX_FIELDS {
            return bad("a field needs a path of 1 to 16 keys: name it");
        }
        let mut path = String::from("$");
        for key in &self.path {
            if key.len() > 256 || key.contains(['"', '\\', '\0']) {
                return bad("a field's key has more than 256 bytes, `\"` or `\\`: ask for another field");
            }
            path.push_str(".\"");
            path.push_str(key);
            path.push('"');
        }
        let path = Sql::Text(path);
        // The type is compared as well, because SQLite knows no bool: `true` would equal 1.
        Ok(match &self.value {
            Value::Null => ("json_type(json, ?) = 'null'", vec![path]),
            Value::Bool(true) => ("json_type(json, ?) = 'true'", vec![path]),
            Value::Bool(false) => ("json_type(json, ?) = 'false'", vec![path]),
            Value::Number(number) => {
                let value = match (number.as_i64(), number.as_f64()) {
                    (Some(whole), _) => Sql::Integer(whole),
                    (None, Some(real)) => Sql::Real(real),
                    (None, None) => return bad("the number is too large: use a string"),
                };
                let text = "json_type(json, ?) IN ('integer', 'real') AND json_extract(json, ?) = ?";
                (text, vec![path.clone(), path, value])
            }
            Value::String(value) => {
                let text = "json_type(json, ?) = 'text' AND json_extract(json, ?) = ?";
                (text, vec![path.clone(), path, Sql::Text(value.clone())])
            }
            Value::Array(_) | Value::Object(_) => {
                return bad("a field is compared with a list or an object: compare their fields");
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How a new database would go about a query, step by step.
    fn plan(query: &Query) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("records.db");
        std::fs::write(&path, "").unwrap();
        let Ok((db, _)) = crate::schema::open_writer(&path) else { panic!("a new database") };
        let (sql, values) = query.select().unwrap();
        let mut explain = db.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = explain.query_map(rusqlite::params_from_iter(values), |row| row.get(3)).unwrap();
        steps.collect::<Result<_, _>>().unwrap()
    }

    #[test]
    fn the_newest_of_a_collection_by_either_order_are_found_without_sorting() {
        for order in [Order::Appended, Order::Time] {
            for direction in [Direction::Newest, Direction::Oldest] {
                let plan = plan(&Query { order, direction, ..Query::collection("faces") });
                assert!(plan.iter().all(|step| step.starts_with("SEARCH records USING INDEX")), "{plan:?}");
            }
        }
    }

    #[test]
    fn a_key_is_found_by_its_index_whatever_else_is_asked() {
        let key = Query { dedup: Some("7".into()), ..Query::collection("faces") };
        let timed = Query { order: Order::Time, from: Some(1), until: Some(2), limit: 1, ..key.clone() };
        for query in [key, timed] {
            let plan = plan(&query);
            let by_key = "SEARCH records USING INDEX records_dedup (collection=? AND dedup=?)";
            assert_eq!(plan, [by_key], "{query:?}");
        }
    }
}
