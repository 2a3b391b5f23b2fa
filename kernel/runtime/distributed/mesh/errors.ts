import { ShardbookError } from '../../base/index.js';

export function meshError(code: string, message: string, help?: string): ShardbookError {
  return new ShardbookError({ code, message, ...(help === undefined ? {} : { help }) });
}
