import { type FormEvent, type ReactElement, useState } from 'react'

export interface TokenFieldProps {
  readonly token: string
  readonly onToken: (token: string) => void
}

/** Where a token is put in. It counts once it is set: a client made of half a token would be refused. */
export function TokenField({ token, onToken }: TokenFieldProps): ReactElement {
  const [text, setText] = useState(token)
  const submit = (event: FormEvent): void => {
    event.preventDefault()
    onToken(text.trim())
  }
  return (
    <form className="setting" onSubmit={submit}>
      <label htmlFor="token">Token</label>
      <div className="field-row">
        <input
          id="token"
          className="field"
          type="password"
          autoComplete="off"
          spellCheck={false}
          value={text}
          placeholder="None"
          onChange={({ target }) => setText(target.value)}
        />
        <button className="button" type="submit" disabled={text.trim() === token}>
          {text.trim() === '' ? 'Remove' : 'Set'}
        </button>
      </div>
      <p className="setting-note">
        For a gateway that asks who you are. It stays in this tab and is gone with it.
        {token !== '' && <strong> A token is set.</strong>}
      </p>
    </form>
  )
}
