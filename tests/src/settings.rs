//! A daemon's configuration file, put together from a default and what a test wants otherwise.

use std::path::Path;

use anyhow::{Context as _, Result};
use toml::{Table, Value};

/// A TOML file in the making.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Settings(Table);

impl Settings {
    /// Sets a value by its dotted name, such as `tokens.grace`.
    ///
    /// # Panics
    /// When a part before the last is no table.
    pub fn set(&mut self, name: &str, value: impl Into<Value>) {
        let (table, key) = self.place(name);
        table.insert(key, value.into());
    }

    /// Removes a value.
    ///
    /// # Panics
    /// When a part before the last is no table.
    pub fn remove(&mut self, name: &str) {
        let (table, key) = self.place(name);
        table.remove(&key);
    }

    /// Adds a table to an array of tables, such as `external.console`.
    ///
    /// # Panics
    /// When there is something else of that name.
    pub fn push(&mut self, name: &str, entry: Table) {
        let (table, key) = self.place(name);
        let entries = table.entry(key).or_insert_with(|| Value::Array(Vec::new()));
        entries.as_array_mut().expect("an array of tables").push(Value::Table(entry));
    }

    /// Writes the file.
    pub fn write(&self, path: &Path) -> Result<()> {
        std::fs::write(path, self.to_toml()?).with_context(|| format!("writing {}", path.display()))
    }

    /// Its text.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string(&self.0).context("composing a TOML file")
    }

    fn place(&mut self, name: &str) -> (&mut Table, String) {
        let mut table = &mut self.0;
        let mut parts = name.split('.').peekable();
        while let Some(part) = parts.next() {
            if parts.peek().is_none() {
                return (table, part.to_owned());
            }
            let inner = table.entry(part).or_insert_with(|| Value::Table(Table::new()));
            table = inner.as_table_mut().unwrap_or_else(|| panic!("{part} of {name} is no table"));
        }
        unreachable!("split gives at least one part")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_their_tables() {
        let mut settings = Settings::default();
        settings.set("public.tls.key", "k");
        settings.set("public.listen", vec!["a"]);
        settings.push("external.console", Table::from_iter([("name".to_owned(), Value::from("bmc"))]));
        let text = settings.to_toml().unwrap();
        let expected =
            "[public]\nlisten = [\"a\"]\n\n[public.tls]\nkey = \"k\"\n\n[[external.console]]\nname = \"bmc\"\n";
        let (text, expected): (Table, Table) = (text.parse().unwrap(), expected.parse().unwrap());
        assert_eq!(text, expected);
        settings.remove("public");
        assert!(!settings.to_toml().unwrap().contains("public"));
    }
}
