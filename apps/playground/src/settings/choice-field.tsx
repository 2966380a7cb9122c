import type { ReactElement } from 'react'

type Choice<Value extends string> = readonly [value: Value, name: string, note?: string]

export interface ChoiceFieldProps<Value extends string> {
  readonly name: string
  readonly legend: string
  readonly choices: readonly Choice<Value>[]
  readonly value: Value
  readonly onChange: (value: Value) => void
}

/** One of a few. */
export function ChoiceField<Value extends string>(props: ChoiceFieldProps<Value>): ReactElement {
  const { name, legend, choices, value, onChange } = props
  return (
    <fieldset className="setting">
      <legend>{legend}</legend>
      {choices.map(([choice, title, note]) => (
        <label key={choice} className="check">
          <input
            type="radio"
            name={name}
            value={choice}
            checked={choice === value}
            onChange={() => onChange(choice)}
          />
          <span>
            {title}
            {note !== undefined && <span className="setting-note">{note}</span>}
          </span>
        </label>
      ))}
    </fieldset>
  )
}
