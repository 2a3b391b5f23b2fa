/** The compiler thread of a session. */
import { serveCompiler } from '../../session/index.js';

serveCompiler();
