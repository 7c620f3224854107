//! Reads from a component's types which functions it exports, with what they take and give. Nothing is compiled or run.

use crate::inspect::NAME_BYTES_MAX;
use crate::offered;
use crate::sanitise::sanitise;
use bandstand_signature::{Function, Integer, Kind, Param, Type};
use std::collections::HashMap;
use std::sync::Arc;
use wasmparser::component_types::{
    Aliasable, ComponentAnyTypeId, ComponentDefinedType, ComponentEntityType, ComponentFuncType,
    ComponentFuncTypeId, ComponentInstanceTypeId, ComponentValType,
};
use wasmparser::types::Types;
use wasmparser::{PrimitiveValType, component_types};

/// Functions that are looked at; those beyond are left out.
const FUNCTIONS_MAX: usize = 1_000;
/// Types, fields and cases of one function, written out. A few bytes can name a type of any size.
const FUNCTION_PARTS_MAX: usize = 4_096;
/// The same of all functions of a component.
const PARTS_MAX: usize = 16 << 10;
/// A name counts as one part more for so much of it: it is written out wherever its type is used. Bytes.
const NAME_BYTES_OF_A_PART: usize = 32;
/// Types inside each other. Values of JSON nest no deeper than their types, and the host keeps none that nest deeper than 64.
const TYPE_DEPTH_MAX: usize = 48;

/// The functions that a component exports, by these names, by itself or in interfaces.
pub(crate) fn functions<'n>(exports: impl Iterator<Item = &'n str>, types: &Types) -> Vec<Function> {
    let mut reader = Reader { types, names: HashMap::new(), parts_left: PARTS_MAX };
    let exports: Vec<(&str, ComponentEntityType)> =
        exports.filter_map(|name| Some((name, types.component_item_for_export(name)?.ty))).collect();
    // What they are called at the top first, so that interfaces may say otherwise of what they use.
    for (name, ty) in &exports {
        reader.name(name, *ty);
    }
    let mut found = Vec::new();
    for (name, ty) in exports {
        match ty {
            ComponentEntityType::Func(id) if found.len() < FUNCTIONS_MAX => {
                found.push(reader.function(None, name, id));
            }
            ComponentEntityType::Instance(id) => {
                reader.name_all(id);
                for (function, item) in &types[id].exports {
                    if let ComponentEntityType::Func(id) = item.ty
                        && found.len() < FUNCTIONS_MAX
                    {
                        found.push(reader.function(Some(name), function, id));
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// Whether all that is in an instance is types, and none of them resources: nothing has to stand behind it.
pub(crate) fn is_types_only(id: ComponentInstanceTypeId, types: &Types) -> bool {
    types[id].exports.values().all(|item| {
        matches!(item.ty, ComponentEntityType::Type { created: ComponentAnyTypeId::Defined(_), .. })
    })
}

/// Why a type is not read to its end.
struct TooLarge;

struct Reader<'t> {
    types: &'t Types,
    /// What types are called.
    names: HashMap<ComponentAnyTypeId, Arc<str>>,
    parts_left: usize,
}

impl Reader<'_> {
    fn name(&mut self, name: &str, ty: ComponentEntityType) {
        if let ComponentEntityType::Type { created, .. } = ty {
            self.names.insert(created, sanitise(name, NAME_BYTES_MAX).into());
        }
    }

    fn name_all(&mut self, id: ComponentInstanceTypeId) {
        let types = self.types;
        for (name, item) in &types[id].exports {
            self.name(name, item.ty);
        }
    }

    /// What a type is called, by itself or as what it is an alias of.
    fn name_of(&self, id: impl Into<ComponentAnyTypeId> + Aliasable + Copy) -> Option<Arc<str>> {
        let mut next = Some(id);
        while let Some(id) = next {
            if let Some(name) = self.names.get(&id.into()) {
                return Some(name.clone());
            }
            next = self.types.peel_alias(id);
        }
        None
    }

    fn function(&mut self, interface: Option<&str>, name: &str, id: ComponentFuncTypeId) -> Function {
        let mut function = Function {
            interface: interface.map(|interface| sanitise(interface, NAME_BYTES_MAX)),
            ..Function::new(&sanitise(name, NAME_BYTES_MAX), Vec::new(), None)
        };
        let ty = &self.types[id];
        let mut left = FUNCTION_PARTS_MAX.min(self.parts_left);
        let before = left;
        let read = self.signature(ty, &mut left);
        self.parts_left -= before - left;
        match read {
            Ok((params, result)) => (function.params, function.result) = (params, result),
            Err(TooLarge) => {
                function.hindrance = Some(format!(
                    "its types nest more than {TYPE_DEPTH_MAX} deep or have more than {FUNCTION_PARTS_MAX} parts, where a long name \
                     counts as several, which is fixed by the host"
                ));
            }
        }
        if ty.async_ {
            function.hindrance = Some("it is asynchronous, which this host's WASI 0.2 is not".to_owned());
        }
        if interface.is_some_and(offered::is_node) {
            function.hindrance =
                Some("it is the agent itself, which is called when `function` is left out".to_owned());
        }
        function
    }

    fn signature(
        &self,
        ty: &ComponentFuncType,
        left: &mut usize,
    ) -> Result<(Vec<Param>, Option<Type>), TooLarge> {
        let mut params = Vec::new();
        for (name, ty) in &ty.params {
            spend_name(left, name)?;
            params.push(Param { name: name.to_string(), ty: self.value(*ty, 0, left)? });
        }
        let result = ty.result.map(|ty| self.value(ty, 0, left)).transpose()?;
        Ok((params, result))
    }

    fn value(&self, ty: ComponentValType, depth: usize, left: &mut usize) -> Result<Type, TooLarge> {
        spend(left, 1)?;
        if depth >= TYPE_DEPTH_MAX {
            return Err(TooLarge);
        }
        match ty {
            ComponentValType::Primitive(primitive) => Ok(of_primitive(primitive).into()),
            ComponentValType::Type(id) => {
                let name = self.name_of(id);
                let kind = self.defined(&self.types[id], depth + 1, left)?;
                Ok(Type { name, kind })
            }
        }
    }

    fn defined(&self, ty: &ComponentDefinedType, depth: usize, left: &mut usize) -> Result<Kind, TooLarge> {
        let some = |ty: &Option<ComponentValType>, left: &mut usize| {
            ty.map(|ty| self.value(ty, depth, left).map(Box::new)).transpose()
        };
        Ok(match ty {
            ComponentDefinedType::Primitive(primitive) => of_primitive(*primitive),
            ComponentDefinedType::Record(record) => {
                let fields = record.fields.iter();
                let fields = fields.map(|(name, ty)| {
                    spend_name(left, name)?;
                    Ok((name.to_string(), self.value(*ty, depth, left)?))
                });
                Kind::Record(fields.collect::<Result<_, _>>()?)
            }
            ComponentDefinedType::Variant(variant) => {
                spend(left, variant.cases.len())?;
                let cases = variant.cases.iter().map(|(name, case)| {
                    spend_name(left, name)?;
                    let ty = case.ty.map(|ty| self.value(ty, depth, left)).transpose()?;
                    Ok((name.to_string(), ty))
                });
                Kind::Variant(cases.collect::<Result<_, _>>()?)
            }
            ComponentDefinedType::List { element, .. } => {
                Kind::List(Box::new(self.value(*element, depth, left)?))
            }
            ComponentDefinedType::Tuple(tuple) => {
                let parts = tuple.types.iter().map(|ty| self.value(*ty, depth, left));
                Kind::Tuple(parts.collect::<Result<_, _>>()?)
            }
            ComponentDefinedType::Flags(names) => {
                spend(left, names.len())?;
                names.iter().try_for_each(|name| spend_name(left, name))?;
                Kind::Flags(names.iter().map(ToString::to_string).collect())
            }
            ComponentDefinedType::Enum(names) => {
                spend(left, names.len())?;
                names.iter().try_for_each(|name| spend_name(left, name))?;
                Kind::Enum(names.iter().map(ToString::to_string).collect())
            }
            ComponentDefinedType::Option { ty, .. } => Kind::Option(Box::new(self.value(*ty, depth, left)?)),
            ComponentDefinedType::Result { ok, err, .. } => {
                Kind::Result { ok: some(ok, left)?, err: some(err, left)? }
            }
            ComponentDefinedType::Own(id) => self.handle("own", *id),
            ComponentDefinedType::Borrow(id) => self.handle("borrow", *id),
            ComponentDefinedType::Future { .. } => Kind::Opaque("future".to_owned()),
            ComponentDefinedType::Stream { .. } => Kind::Opaque("stream".to_owned()),
            ComponentDefinedType::Map { .. } => Kind::Opaque("map".to_owned()),
            ComponentDefinedType::FixedLengthList { .. } => Kind::Opaque("list of fixed length".to_owned()),
        })
    }

    fn handle(&self, what: &str, id: component_types::AliasableResourceId) -> Kind {
        let name = self.name_of(id).unwrap_or_else(|| "resource".into());
        Kind::Opaque(format!("{what}<{name}>"))
    }
}

fn spend(left: &mut usize, parts: usize) -> Result<(), TooLarge> {
    *left = left.checked_sub(parts).ok_or(TooLarge)?;
    Ok(())
}

fn spend_name(left: &mut usize, name: &str) -> Result<(), TooLarge> {
    spend(left, name.len() / NAME_BYTES_OF_A_PART)
}

fn of_primitive(primitive: PrimitiveValType) -> Kind {
    match primitive {
        PrimitiveValType::Bool => Kind::Bool,
        PrimitiveValType::S8 => Kind::Integer(Integer::S8),
        PrimitiveValType::U8 => Kind::Integer(Integer::U8),
        PrimitiveValType::S16 => Kind::Integer(Integer::S16),
        PrimitiveValType::U16 => Kind::Integer(Integer::U16),
        PrimitiveValType::S32 => Kind::Integer(Integer::S32),
        PrimitiveValType::U32 => Kind::Integer(Integer::U32),
        PrimitiveValType::S64 => Kind::Integer(Integer::S64),
        PrimitiveValType::U64 => Kind::Integer(Integer::U64),
        PrimitiveValType::F32 => Kind::F32,
        PrimitiveValType::F64 => Kind::F64,
        PrimitiveValType::Char => Kind::Char,
        PrimitiveValType::String => Kind::String,
        PrimitiveValType::ErrorContext => Kind::Opaque("error-context".to_owned()),
    }
}
