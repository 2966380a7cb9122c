declare const json: unique symbol

/** A value as JSON: columns of it are text in every engine, so that none of them changes it. */
export type JsonText<Value> = string & { readonly [json]: Value }

/** Writes a value for a column; one that JSON has no word for is null. */
export function toJson<Value>(value: Value): JsonText<Value> {
  return (JSON.stringify(value) ?? 'null') as JsonText<Value>
}

/** Reads what {@link toJson} wrote. */
export function fromJson<Value>(text: JsonText<Value>): Value {
  return JSON.parse(text) as Value
}
