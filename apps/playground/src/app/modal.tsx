import { type ReactElement, type ReactNode, useLayoutEffect, useRef } from 'react'

export interface ModalProps {
  readonly label: string
  /** Where it comes from. */
  readonly side: 'left' | 'right'
  readonly onClose: () => void
  readonly children: ReactNode
}

/** Something over the page that has the reader's whole attention until it is closed. */
export function Modal({ label, side, onClose, children }: ModalProps): ReactElement {
  const dialog = useRef<HTMLDialogElement>(null)
  // Before it is taken out of the page, so that the focus goes back to where it came from.
  useLayoutEffect(() => {
    const { current } = dialog
    current?.showModal()
    return () => current?.close()
  }, [])
  return (
    <dialog
      ref={dialog}
      className="modal"
      data-side={side}
      aria-label={label}
      onCancel={(event) => {
        event.preventDefault()
        onClose()
      }}
      // The backdrop belongs to the dialog; what is in it lies on a child.
      onClick={(event) => event.target === event.currentTarget && onClose()}
    >
      <div className="modal-body">{children}</div>
    </dialog>
  )
}
