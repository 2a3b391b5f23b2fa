import { ShardbookError } from '../../runtime/base/index.js';

/** A coded error with the HTTP status that a client gets. */
export class HttpError extends ShardbookError {
  constructor(
    readonly status: number,
    code: string,
    message: string,
    help?: string,
  ) {
    super(help === undefined ? { code, message } : { code, message, help });
    this.name = 'HttpError';
  }
}
