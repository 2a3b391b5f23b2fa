import { ShardbookError } from '../../base/index.js';

export function fsdpError(code: string, message: string, help?: string, notes?: string[]): ShardbookError {
  return new ShardbookError({
    code: `SB_FSDP_${code}`,
    message,
    ...(help === undefined ? {} : { help }),
    ...(notes === undefined ? {} : { notes }),
  });
}
