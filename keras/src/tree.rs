//! What is to be in an HDF5 file, and its bytes, written with `hdf5-pure`.

use crate::error::Problem;
use hdf5_pure::{AttrValue, FileBuilder, FinishedGroup, GroupBuilder};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The most bytes of names in one attribute: an object header holds no more than 64 kB. Keras has the same limit.
const MOST_NAMES: usize = 64_512;

/// A group to be written, with all that is in it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Tree<'a> {
    attributes: BTreeMap<String, Attribute>,
    datasets: BTreeMap<String, WrittenArray<'a>>,
    /// Whole numbers that are stored by themselves.
    counts: BTreeMap<String, u64>,
    groups: BTreeMap<String, Tree<'a>>,
}

/// An attribute of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Attribute {
    Text(String),
    /// A list of names.
    Names(Vec<String>),
}

impl Attribute {
    fn stored(self) -> AttrValue {
        match self {
            // A string in the header takes less room; one in the heap may have any length.
            Self::Text(text) if text.len() <= 1000 && text.is_ascii() => AttrValue::AsciiString(text),
            Self::Text(text) => AttrValue::VarLenString(text),
            // As Keras stores it.
            Self::Names(names) if names.is_empty() => AttrValue::F64Array(Vec::new()),
            Self::Names(names) if names.iter().all(|name| name.is_ascii()) => AttrValue::AsciiStringArray(names),
            Self::Names(names) => AttrValue::StringArray(names),
        }
    }
}

/// An array to be written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct WrittenArray<'a> {
    pub shape: Vec<usize>,
    pub data: Cow<'a, [f32]>,
    /// Whether it is stored as 64-bit floats, as Keras does for float64 layers.
    pub double: bool,
}

impl<'a> Tree<'a> {
    pub(crate) fn attribute(&mut self, name: &str, text: &str) {
        self.attributes.insert(name.into(), Attribute::Text(text.into()));
    }

    /// A list of names, as Keras's `save_attributes_to_hdf5_group` stores it: with fixed width, in several attributes
    /// if one can't hold it.
    pub(crate) fn names(&mut self, name: &str, names: &[String]) -> Result<(), Problem> {
        let Some(width) = names.iter().map(String::len).max() else {
            self.attributes.insert(name.into(), Attribute::Names(Vec::new()));
            return Ok(());
        };
        let count = MOST_NAMES.checked_div(width).filter(|&count| count > 0);
        let count = count.ok_or(Problem::NameLength(width))?;
        if names.len() <= count {
            self.attributes.insert(name.into(), Attribute::Names(names.to_vec()));
        } else {
            for (part, names) in names.chunks(count).enumerate() {
                self.attributes.insert(format!("{name}{part}"), Attribute::Names(names.to_vec()));
            }
        }
        Ok(())
    }

    /// The group at `path` below this one; made if it isn't there.
    pub(crate) fn group(&mut self, path: &str) -> Result<&mut Self, Problem> {
        // Writing recurses once for each part of a path.
        if path.split('/').count() > 100 || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return Err(Problem::GroupName(path.to_owned()));
        }
        let mut tree = self;
        for part in path.split('/') {
            if tree.datasets.contains_key(part) {
                return Err(Problem::TwoGroups(path.to_owned()));
            }
            tree = tree.groups.entry(part.to_owned()).or_default();
        }
        Ok(tree)
    }

    /// Stores an array at `path` below this group.
    pub(crate) fn dataset(&mut self, path: &str, values: WrittenArray<'a>) -> Result<(), Problem> {
        let (group, name) = path.rsplit_once('/').unwrap_or(("", path));
        let group = if group.is_empty() { self } else { self.group(group)? };
        if group.groups.contains_key(name) || group.datasets.insert(name.to_owned(), values).is_some() {
            return Err(Problem::TwoGroups(path.to_owned()));
        }
        Ok(())
    }

    /// Stores a whole number at `name` in this group.
    pub(crate) fn count(&mut self, name: &str, count: u64) {
        self.counts.insert(name.to_owned(), count);
    }

    /// The bytes of a file with this tree as its root.
    pub(crate) fn into_bytes(self) -> Result<Vec<u8>, Problem> {
        let mut file = FileBuilder::new();
        for (name, value) in self.attributes {
            file.set_attr(&name, value.stored());
        }
        for (name, tree) in self.groups {
            let group = file.create_group(&name);
            file.add_group(tree.finish(group));
        }
        file.finish().map_err(Problem::format)
    }

    fn finish(self, mut group: GroupBuilder) -> FinishedGroup {
        for (name, value) in self.attributes {
            group.set_attr(&name, value.stored());
        }
        for (name, values) in self.datasets {
            let shape: Vec<u64> = values.shape.iter().map(|&size| size as u64).collect();
            let dataset = group.create_dataset(&name);
            if values.double {
                let data: Vec<f64> = values.data.iter().map(|&v| v.into()).collect();
                dataset.with_f64_data(&data).with_shape(&shape);
            } else {
                dataset.with_f32_data(&values.data).with_shape(&shape);
            }
        }
        for (name, count) in self.counts {
            // A 64-bit integer, as Keras writes.
            group.create_dataset(&name).with_i64_data(&[count.try_into().unwrap_or(i64::MAX)]).with_shape(&[]);
        }
        for (name, tree) in self.groups {
            let builder = group.create_group(&name);
            group.add_group(tree.finish(builder));
        }
        group.finish()
    }
}
